import assert from "node:assert/strict";
import { test } from "node:test";
import { copyRowsSource } from "../../../../src/runtime/gpu/source/copy-rows.js";
import { compiled, onHost, place, placed } from "./on-host.js";

test("copyRowsSource(rows) copies rows from one distance to another, in the largest units that fit", onHost, () => {
  const cases = [
    { rows: { count: 300, width: 64, fromPitch: 64, toPitch: 96 }, alignment: 16, unit: "mutwo_four<unsigned>" },
    { rows: { count: 70, width: 24, fromPitch: 40, toPitch: 24 }, alignment: 16, unit: "unsigned long long" },
    { rows: { count: 70, width: 12, fromPitch: 20, toPitch: 12 }, alignment: 16, unit: "unsigned" },
    { rows: { count: 5, width: 64, fromPitch: 64, toPitch: 96 }, alignment: 2, unit: "unsigned short" },
    { rows: { count: 9, width: 3, fromPitch: 5, toPitch: 4 }, alignment: 16, unit: "unsigned char" },
  ] as const;
  const sources = cases.map(({ rows, alignment }) => copyRowsSource(rows, alignment, 1));
  const run = compiled(sources);
  cases.forEach(({ rows: { count, width, fromPitch, toPitch }, unit }, k) => {
    const source = sources[k] as (typeof sources)[number];
    assert.match(source.source, new RegExp(`const ${unit}\\* from`));
    const from = new Uint8Array(count * fromPitch).map((_, i) => 1 + (i % 251));
    const to = place(count * toPitch);
    run(source, [placed(from), to]);
    const expected = new Uint8Array(count * toPitch);
    for (let row = 0; row < count; row++)
      expected.set(from.subarray(row * fromPitch, row * fromPitch + width), row * toPitch);
    assert.deepEqual(Buffer.from(to), Buffer.from(expected));
  });
});
