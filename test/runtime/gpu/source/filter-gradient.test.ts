import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import type { GroupedShape } from "../../../../src/runtime/gpu/source/convolution-lines.js";
import { filterGradientSource, splitsOf } from "../../../../src/runtime/gpu/source/filter-gradient.js";
import { emulate } from "./attention-host.js";
import { gradients, plainShape } from "./convolution-values.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(6);

const plain: GroupedShape = { ...plainShape, batch: 3, channels: 40, made: 12 };

const cases: readonly (readonly [string, GroupedShape, number])[] = [
  ["windows of 3 × 3", plain, 1],
  ["split", { ...plain, made: 72, batch: 5 }, 2],
  ["one element", { ...plain, kernel: [1, 1], pads: [0, 0] }, 1],
  ["no padding", { ...plain, pads: [0, 0], result: [3, 4] }, 1],
  ["strides", { ...plain, strides: [2, 2], result: [3, 3] }, 1],
  ["strides of one element", { ...plain, kernel: [1, 1], pads: [0, 0], strides: [2, 2], result: [3, 3] }, 1],
  [
    "a stem",
    { ...plain, channels: 3, image: [11, 10], kernel: [7, 7], pads: [3, 3], strides: [2, 2], result: [6, 5] },
    2,
  ],
  ["four colours", { ...plain, channels: 4, made: 72 }, 1],
  ["dilated", { ...plain, pads: [2, 2], dilations: [2, 2] }, 2],
];

for (const [title, shape, splits] of cases)
  test(`filterGradientSource: ${title}`, onHost, () => {
    const { batch, groups, channels, made, image, result, kernel } = shape;
    const numbers = (count: number): number[] => Array.from({ length: count }, () => 2 * random() - 1);
    const x = numbers(batch * groups * channels * image[0] * image[1]);
    const dy = numbers(batch * groups * made * result[0] * result[1]);
    const { first, second, workspaceBytes } = filterGradientSource(shape, splits);
    const emulated = emulate(first, "tf32");
    const run = compiled(second ? [emulated, second] : [emulated]);
    const dw = place(4 * groups * made * channels * kernel[0] * kernel[1]);
    const parts = place(workspaceBytes);
    run(emulated, [placed(bytesOf("float32", x)), placed(bytesOf("float32", dy)), second ? parts : dw]);
    if (second) run(second, [parts, dw]);
    const wanted = gradients(shape, x, [], dy).w;
    const got = valuesOf("float32", dw);
    assert.equal(got.length, wanted.length);
    for (const [i, value] of wanted.entries())
      assert.ok(Math.abs(value - (got[i] as number)) < 0.03, `${i}: ${got[i]} for ${value}`);
  });

test("splitsOf: enough blocks for the device, and work for each", () => {
  const shape = (channels: number, side: number): GroupedShape => ({
    ...plain,
    batch: 4,
    groups: 8,
    channels,
    made: channels,
    image: [side, side],
    result: [side, side],
  });
  assert.deepEqual(
    [shape(64, 56), shape(128, 28), shape(256, 14), shape(512, 7)].map((one) => splitsOf(one, 132)),
    [17, 4, 1, 1],
  );
});
