import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import { turnSource } from "../../../../src/runtime/gpu/source/turn.js";
import { compiled, onHost, place, placed } from "./on-host.js";

test("turnSource([count, rows, columns]) turns each matrix, narrow ones and tiles that hang over", onHost, () => {
  const cases = [
    [3, 3, 200],
    [4, 70, 9],
    [2, 64, 96],
    [3, 37, 45],
    [1, 33, 100],
  ] as const;
  const sources = cases.map((shape) => turnSource("float32", shape, 2));
  const run = compiled(sources);
  cases.forEach(([count, rows, columns], k) => {
    const x = Array.from({ length: count * rows * columns }, (_, i) => i);
    const output = place(4 * x.length);
    run(sources[k] as (typeof sources)[number], [placed(bytesOf("float32", x)), output]);
    const expected = x.map((_, i) => {
      const [row, column] = [i % rows, Math.floor(i / rows) % columns];
      return (Math.floor(i / rows / columns) * rows + row) * columns + column;
    });
    assert.deepEqual(valuesOf("float32", output), expected, `${count} of ${rows} x ${columns}`);
  });
});
