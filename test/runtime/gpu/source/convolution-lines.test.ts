import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type GroupedShape,
  hasLines,
  linesOf,
  type Phase,
  upTo,
} from "../../../../src/runtime/gpu/source/convolution-lines.js";
import { plainShape } from "./convolution-values.js";

const plain: GroupedShape = { ...plainShape, groups: 1, made: 8 };

const cases: Readonly<Record<string, GroupedShape>> = {
  "3 × 3": plain,
  "of one element": { ...plain, kernel: [1, 1], pads: [0, 0] },
  "not padded": { ...plain, pads: [0, 0], result: [3, 4] },
  dilated: { ...plain, pads: [2, 1], dilations: [2, 1] },
  "with strides": { ...plain, strides: [2, 2], result: [3, 3] },
  "wide, with strides": { ...plain, kernel: [5, 7], pads: [2, 3], strides: [2, 2], result: [3, 3] },
  "of one element with strides": { ...plain, kernel: [1, 1], pads: [0, 0], strides: [2, 2], result: [3, 3] },
};

/** What a position of some lines is, in the padded image: its image, row and column. */
const placeOf = (flat: number, pitch: number, rows: number, strides: readonly [number, number], phase: Phase) => ({
  image: Math.floor(flat / (pitch * rows)),
  row: (Math.floor(flat / pitch) % rows) * strides[0] + phase.row,
  column: (flat % pitch) * strides[1] + phase.column,
});

/** Which elements of what is read each element that is made is a sum of, as the lines say: `image row column element`. */
function sums(shape: GroupedShape): Map<string, string[]> {
  const { pitch, rows, count, before, read, made, readStrides, madeStrides, taps } = linesOf(shape);
  const isIn = (place: { image: number; row: number; column: number }, [height, width]: readonly [number, number]) =>
    place.image < shape.batch && place.row >= 0 && place.row < height && place.column >= 0 && place.column < width;
  const text = ({ image, row, column }: ReturnType<typeof placeOf>): string => `${image} ${row} ${column}`;
  const all = new Map<string, string[]>();
  for (let flat = 0; flat < count; flat++)
    for (const [index, phase] of made.entries()) {
      const to = placeOf(flat, pitch, rows, madeStrides, phase);
      if (!isIn(to, shape.result)) continue;
      const from = taps.flatMap(({ filter, line, distance, phase: own }) => {
        const at = flat - before + distance;
        if (own !== index || at < 0) return [];
        const place = placeOf(at, pitch, rows, readStrides, read[line] as Phase);
        return isIn(place, shape.image) ? [`${text(place)} ${filter}`] : [];
      });
      assert.ok(!all.has(text(to)), `${text(to)} is made twice`);
      all.set(text(to), from.sort());
    }
  return all;
}

/** The same as the convolution is defined. */
function defined({ batch, image, result, kernel, pads, strides, dilations }: GroupedShape, gradient: boolean) {
  const all = new Map<string, string[]>();
  for (let b = 0; b < batch; b++) {
    const [height, width] = gradient ? image : result;
    for (let i = 0; i < height * width; i++) all.set(`${b} ${Math.floor(i / width)} ${i % width}`, []);
    for (let i = 0; i < result[0] * result[1]; i++)
      for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
        const y = [Math.floor(i / result[1]), i % result[1]] as const;
        const row = y[0] * strides[0] - pads[0] + Math.floor(tap / kernel[1]) * dilations[0];
        const column = y[1] * strides[1] - pads[1] + (tap % kernel[1]) * dilations[1];
        if (row < 0 || row >= image[0] || column < 0 || column >= image[1]) continue;
        const [x, own] = [`${b} ${row} ${column}`, `${b} ${y.join(" ")}`];
        all.get(gradient ? x : own)?.push(`${gradient ? own : x} ${tap}`);
      }
  }
  for (const list of all.values()) list.sort();
  return all;
}

for (const [title, shape] of Object.entries(cases))
  test(`linesOf: windows ${title} read and make what is defined, and so does their gradient`, () => {
    assert.equal(hasLines(shape), true);
    assert.deepEqual(new Map([...sums(shape)].sort()), new Map([...defined(shape, false)].sort()));
    const gradient: GroupedShape = { ...shape, image: shape.result, result: shape.image, transposed: true };
    assert.deepEqual(new Map([...sums(gradient)].sort()), new Map([...defined(shape, true)].sort()));
  });

test("hasLines: not of wider padding than windows, nor of strides with dilations", () => {
  assert.equal(hasLines({ ...plain, pads: [3, 1] }), false);
  assert.equal(hasLines({ ...plain, pads: [2, 2], dilations: [2, 2], strides: [2, 2] }), false);
});

test("upTo(n, rest, of) is the next number with that rest", () => {
  assert.deepEqual([upTo(5, 4, 8), upTo(4, 4, 8), upTo(33, 8, 32), upTo(0, 8, 32)], [12, 4, 40, 8]);
});
