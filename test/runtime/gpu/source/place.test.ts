import assert from "node:assert/strict";
import { test } from "node:test";
import { elementCount } from "../../../../src/graph/graph.js";
import { randomFrom } from "../../../../src/graph/random.js";
import { type Padding, padSource, partsSource } from "../../../../src/runtime/gpu/source/place.js";
import { compiled, onHost as options, place, placed } from "./on-host.js";

const random = randomFrom(11);

const anyBytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => Math.floor(random() * 256));

test(
  "partsSource(rows, widths) joins parts and takes them out again, with the widest unit that fits all",
  options,
  () => {
    const cases: [number, number[], RegExp][] = [
      [5, [32, 16, 64], /mutwo_four<unsigned>\*/],
      [7, [24, 8], /unsigned long long\*/],
      [700, [4, 12, 20], /unsigned\*/],
      [3, [2, 6], /unsigned short\*/],
      [1, [5, 3, 1], /unsigned char\*/],
    ];
    const made = cases.map(([rows, widths]) => {
      const parts = widths.map((width) => placed(anyBytes(rows * width)));
      const [joining, splitting] = [true, false].map((joins) => partsSource(rows, widths, joins, [0n], 2));
      assert.ok(joining && splitting);
      return { rows, widths, parts, joining, splitting };
    });
    made.forEach(({ joining }, i) => void assert.match(joining.source, cases[i]?.[2] as RegExp));
    const run = compiled(made.flatMap(({ joining, splitting }) => [joining, splitting]));
    for (const { rows, widths, parts, joining, splitting } of made) {
      const row = widths.reduce((sum, width) => sum + width, 0);
      const whole = place(rows * row);
      run(joining, [...parts, whole]);
      for (let r = 0; r < rows; r++) {
        const expected = parts.flatMap((part, k) => [
          ...part.subarray(r * (widths[k] as number), (r + 1) * (widths[k] as number)),
        ]);
        assert.deepEqual([...whole.subarray(r * row, (r + 1) * row)], expected);
      }
      const out = widths.map((width) => place(rows * width));
      run(splitting, [whole, ...out]);
      out.forEach((bytes, k) => void assert.deepEqual(bytes, Uint8Array.from(parts[k] as Uint8Array)));
    }
    // an address that is no multiple of 16 bytes
    assert.match(partsSource(5, [32, 16], true, [16n, 40n], 2).source, /unsigned long long\*/);
  },
);

test("padSource(padding) puts a tensor among constants, or cuts sides off", options, () => {
  const zero = new Uint8Array(4);
  const one = new Uint8Array(Float32Array.of(1).buffer);
  const cases: Padding[] = [
    { shape: [3, 5, 8], begin: [0, 2, 0], end: [0, 1, 0], filler: zero },
    { shape: [2, 3, 4, 6], begin: [1, 0, 2, 3], end: [0, 0, 1, 2], filler: zero },
    { shape: [2, 3, 4], begin: [0, 0, 4], end: [0, 0, 8], filler: zero },
    { shape: [2, 4, 3], begin: [0, 1, 0], end: [0, 1, 0], filler: one },
    { shape: [4, 6], begin: [-1, -2], end: [2, -1], filler: zero },
    { shape: [9], begin: [3], end: [700], filler: new Uint8Array(2) },
    { shape: [3, 1, 7], begin: [0, 1, 0], end: [0, 0, 0], filler: Uint8Array.of(7) },
    { shape: [2, 2], begin: [0, 0], end: [0, 0], filler: zero },
  ];
  const sources = cases.map((padding) => padSource(padding, [0n], 2));
  const run = compiled(sources);
  cases.forEach(({ shape, begin, end, filler }, i) => {
    const x = anyBytes(elementCount(shape) * filler.length);
    const whole = shape.map((n, axis) => n + (begin[axis] as number) + (end[axis] as number));
    const y = place(elementCount(whole) * filler.length);
    run(sources[i] as (typeof sources)[number], [placed(x), y]);
    for (let q = 0; q < elementCount(whole); q++) {
      let left = q;
      const at = whole.map((_, axis) => {
        const below = elementCount(whole.slice(axis + 1));
        const coordinate = Math.floor(left / below) - (begin[axis] as number);
        left %= below;
        return coordinate;
      });
      const inside = at.every((c, axis) => c >= 0 && c < (shape[axis] as number));
      const from = at.reduce((sum, c, axis) => sum * (shape[axis] as number) + c, 0) * filler.length;
      const expected = inside ? x.subarray(from, from + filler.length) : filler;
      const actual = y.subarray(q * filler.length, (q + 1) * filler.length);
      assert.deepEqual([...actual], [...expected], `case ${i}, element ${q}`);
    }
  });
  // whole units of zeros or of elements only
  assert.match((sources[0] as { source: string }).source, /mutwo_four<unsigned>\* y/);
  assert.match((sources[3] as { source: string }).source, /unsigned\* y/);
});
