import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import type { GroupedShape } from "../../../../src/runtime/gpu/source/convolution-lines.js";
import { isWide, wideSource } from "../../../../src/runtime/gpu/source/convolution-wide.js";
import { emulate } from "./attention-host.js";
import { convolved, gradients } from "./convolution-values.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(8);

const plain: GroupedShape = {
  batch: 2,
  groups: 2,
  channels: 8,
  made: 24,
  image: [5, 6],
  result: [5, 6],
  kernel: [3, 3],
  pads: [1, 1],
  strides: [1, 1],
  dilations: [1, 1],
};

const cases: readonly (readonly [string, GroupedShape])[] = [
  ["windows of 3 × 3", plain],
  ["several steps and blocks", { ...plain, batch: 4, channels: 24, made: 72 }],
  ["one element", { ...plain, channels: 64, kernel: [1, 1], pads: [0, 0] }],
  ["strides", { ...plain, strides: [2, 2], result: [3, 3] }],
];

for (const [title, shape] of cases)
  for (const transposed of shape.strides[0] > 1 ? [false] : [false, true])
    test(`wideSource: ${title}${transposed ? ", of its gradient" : ""}`, onHost, () => {
      const { channels, made, image, result } = shape;
      const own: GroupedShape = transposed
        ? { ...shape, channels: made, made: channels, image: result, result: image, transposed: true }
        : shape;
      assert.equal(isWide(own), true);
      const numbers = (count: number): number[] => Array.from({ length: count }, () => 2 * random() - 1);
      const x = numbers(own.batch * own.groups * own.channels * own.image[0] * own.image[1]);
      const w = numbers(shape.groups * shape.made * shape.channels * shape.kernel[0] * shape.kernel[1]);
      const source = emulate(wideSource(own), "tf32");
      const run = compiled([source]);
      const y = place(4 * own.batch * own.groups * own.made * own.result[0] * own.result[1]);
      run(source, [placed(bytesOf("float32", x)), placed(bytesOf("float32", w)), y]);
      const wanted = transposed ? gradients(shape, [], w, x).x : convolved(shape, x, w);
      const got = valuesOf("float32", y);
      assert.equal(got.length, wanted.length);
      for (const [i, value] of wanted.entries())
        assert.ok(Math.abs(value - (got[i] as number)) < 0.02, `${i}: ${got[i]} for ${value}`);
    });

test("isWide: not of gradients with strides, nor of pictures", () => {
  assert.equal(isWide({ ...plain, strides: [2, 2], image: [3, 3], result: [5, 6], transposed: true }), false);
  assert.equal(isWide({ ...plain, channels: 3 }), false);
});
