import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import { type GroupedTile, groupedSource } from "../../../../src/runtime/gpu/source/convolution.js";
import type { GroupedShape } from "../../../../src/runtime/gpu/source/convolution-lines.js";
import { emulate } from "./attention-host.js";
import { convolved, gradients, plainShape } from "./convolution-values.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(5);

const plain = plainShape;
const one: GroupedTile = { positions: 32, channels: 16, warps: [1, 1] };

/** The shape of a convolution's data gradient. */
const gradientShape = (shape: GroupedShape): GroupedShape => ({
  ...shape,
  channels: shape.made,
  made: shape.channels,
  image: shape.result,
  result: shape.image,
  transposed: true,
});

const cases: readonly (readonly [string, GroupedShape, GroupedTile])[] = [
  ["windows of 3 × 3", plain, one],
  ["several warps and steps", { ...plain, channels: 24, made: 40 }, { positions: 64, channels: 32, warps: [2, 2] }],
  ["one element", { ...plain, channels: 32, kernel: [1, 1], pads: [0, 0] }, one],
  ["no padding", { ...plain, pads: [0, 0], result: [3, 4] }, one],
  ["dilated", { ...plain, pads: [2, 2], dilations: [2, 2] }, one],
  ["strides", { ...plain, strides: [2, 2], result: [3, 3] }, one],
  [
    "strides, even",
    { ...plain, image: [6, 8], strides: [2, 2], result: [3, 4] },
    { positions: 64, channels: 32, warps: [2, 2] },
  ],
  ["strides of one element", { ...plain, kernel: [1, 1], pads: [0, 0], strides: [2, 2], result: [3, 3] }, one],
  ["a stride along one axis", { ...plain, kernel: [3, 2], pads: [1, 0], strides: [1, 2], result: [5, 3] }, one],
  [
    "a stem",
    { ...plain, channels: 3, image: [11, 10], kernel: [7, 7], pads: [3, 3], strides: [2, 2], result: [6, 5] },
    one,
  ],
  ["a gray picture", { ...plain, channels: 1, groups: 3 }, one],
  ["wide and short", { ...plain, kernel: [1, 3], pads: [0, 1], result: [5, 6] }, one],
];

for (const [title, shape, tile] of cases)
  for (const transposed of shape.channels < 8 ? [false] : [false, true])
    test(`groupedSource: ${title}${transposed ? ", of its gradient" : ""}`, onHost, () => {
      const made: GroupedShape = transposed ? gradientShape(shape) : shape;
      const numbers = (count: number): number[] => Array.from({ length: count }, () => 2 * random() - 1);
      const x = numbers(made.batch * made.groups * made.channels * made.image[0] * made.image[1]);
      const w = numbers(shape.groups * shape.made * shape.channels * shape.kernel[0] * shape.kernel[1]);
      const source = emulate(groupedSource(made, tile), "tf32");
      const run = compiled([source]);
      const y = place(4 * made.batch * made.groups * made.made * made.result[0] * made.result[1]);
      run(source, [placed(bytesOf("float32", x)), placed(bytesOf("float32", w)), y]);
      const wanted = transposed ? gradients(shape, [], w, x).x : convolved(shape, x, w);
      const got = valuesOf("float32", y);
      assert.equal(got.length, wanted.length);
      for (const [i, value] of wanted.entries())
        assert.ok(Math.abs(value - (got[i] as number)) < 0.02, `${i}: ${got[i]} for ${value}`);
    });
