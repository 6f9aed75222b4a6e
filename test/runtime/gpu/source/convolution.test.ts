import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import { type GroupedShape, type GroupedTile, groupedSource } from "../../../../src/runtime/gpu/source/convolution.js";
import { emulate } from "./attention-host.js";
import { convolved, gradients, reversed } from "./convolution-values.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(5);

const plain: GroupedShape = {
  batch: 2,
  groups: 2,
  channels: 8,
  made: 12,
  image: [5, 6],
  result: [5, 6],
  kernel: [3, 3],
  pads: [1, 1],
  dilations: [1, 1],
};
const one: GroupedTile = { positions: 32, channels: 16, warps: [1, 1] };

const cases: readonly (readonly [string, GroupedShape, GroupedTile])[] = [
  ["windows of 3 × 3", plain, one],
  ["several warps and steps", { ...plain, channels: 24, made: 20 }, { positions: 64, channels: 32, warps: [2, 2] }],
  ["one element", { ...plain, channels: 32, kernel: [1, 1], pads: [0, 0] }, one],
  ["no padding", { ...plain, pads: [0, 0], result: [3, 4] }, one],
  ["dilated", { ...plain, pads: [2, 2], dilations: [2, 2] }, one],
  ["wide and short", { ...plain, kernel: [1, 3], pads: [0, 1], result: [5, 6] }, one],
];

for (const [title, shape, tile] of cases)
  for (const transposed of [false, true])
    test(`groupedSource: ${title}${transposed ? ", of its gradient" : ""}`, onHost, () => {
      const { batch, groups, channels, made, image, result, kernel } = shape;
      const numbers = (count: number): number[] => Array.from({ length: count }, () => 2 * random() - 1);
      const x = numbers(batch * groups * channels * image[0] * image[1]);
      const w = numbers(groups * made * channels * kernel[0] * kernel[1]);
      const source = emulate(groupedSource(shape, transposed, tile), "tf32");
      const run = compiled([source]);
      const y = place(4 * batch * groups * made * result[0] * result[1]);
      run(source, [placed(bytesOf("float32", x)), placed(bytesOf("float32", w)), y]);
      // the gradient of the convolution that reads what is made here
      const wanted = transposed ? gradients(reversed(shape), [], w, x).x : convolved(shape, x, w);
      const got = valuesOf("float32", y);
      assert.equal(got.length, wanted.length);
      for (const [i, value] of wanted.entries())
        assert.ok(Math.abs(value - (got[i] as number)) < 0.02, `${i}: ${got[i]} for ${value}`);
    });
