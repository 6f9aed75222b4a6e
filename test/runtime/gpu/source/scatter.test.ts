import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import { scatterSource } from "../../../../src/runtime/gpu/source/scatter.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(9);

for (const [what, size, width, count, multiprocessors] of [
  ["a table that fills the device", 21, 300, 600, 1],
  ["a table of two rows, in parts", 2, 300, 600, 132],
] as const)
  test(`scatterSource(${what}) adds rows in the order of their indices, and of their parts`, onHost, () => {
    const { first, second, workspaceBytes } = scatterSource("float32", size, width, count, multiprocessors);
    assert.equal(second !== undefined, size === 2);
    const run = compiled([first, ...(second ? [second] : [])]);
    const numbers = (length: number): number[] => Array.from({ length }, () => Math.fround(random()));
    const [table, rows] = [numbers(size * width), numbers(count * width)];
    const index = Array.from({ length: count }, () => Math.floor(random() * 2 * size) - size); // counted from the end too
    const expected = [...table];
    for (const [i, row] of index.entries())
      for (let column = 0; column < width; column++) {
        const at = ((row + size) % size) * width + column;
        expected[at] = (expected[at] as number) + (rows[i * width + column] as number);
      }
    const output = place(4 * expected.length);
    const [before, at, given] = [
      placed(bytesOf("float32", table)),
      placed(bytesOf("int64", index)),
      placed(bytesOf("float32", rows)),
    ];
    if (second) {
      const parts = place(workspaceBytes);
      run(first, [before, at, given, parts]);
      run(second, [before, parts, output]);
    } else run(first, [before, at, given, output]);
    const made = valuesOf("float32", output);
    expected.forEach((value, i) => {
      assert.ok(
        Math.abs((made[i] as number) - value) <= 1e-5 * Math.abs(value),
        `element ${i} is ${made[i]}, not ${value}`,
      );
    });
  });
