import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import type { GroupedShape } from "../../../../src/runtime/gpu/source/convolution-lines.js";
import {
  isWideFilter,
  wideFilterGradientSource,
  wideSplitsOf,
} from "../../../../src/runtime/gpu/source/filter-gradient-wide.js";
import { emulate } from "./attention-host.js";
import { gradients } from "./convolution-values.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(6);

const plain: GroupedShape = {
  batch: 3,
  groups: 2,
  channels: 40,
  made: 12,
  image: [5, 6],
  result: [5, 6],
  kernel: [3, 3],
  pads: [1, 1],
  strides: [1, 1],
  dilations: [1, 1],
};

const cases: readonly (readonly [string, GroupedShape, number])[] = [
  ["windows of 3 × 3", plain, 1],
  ["split", { ...plain, channels: 72, made: 40, batch: 5 }, 2],
  ["one element", { ...plain, kernel: [1, 1], pads: [0, 0] }, 1],
  ["dilated", { ...plain, pads: [2, 2], dilations: [2, 2] }, 2],
];

for (const [title, shape, splits] of cases)
  test(`wideFilterGradientSource: ${title}`, onHost, () => {
    const { batch, groups, channels, made, image, result, kernel } = shape;
    const numbers = (count: number): number[] => Array.from({ length: count }, () => 2 * random() - 1);
    const x = numbers(batch * groups * channels * image[0] * image[1]);
    const dy = numbers(batch * groups * made * result[0] * result[1]);
    const { first, second, workspaceBytes } = wideFilterGradientSource(shape, splits);
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

test("isWideFilter: not of strides; wideSplitsOf: enough blocks for the device", () => {
  assert.equal(isWideFilter(plain), true);
  assert.equal(isWideFilter({ ...plain, strides: [2, 2], result: [3, 3] }), false);
  const shape = { ...plain, batch: 4, groups: 8, channels: 128, made: 128, image: [28, 28], result: [28, 28] } as const;
  assert.equal(wideSplitsOf(shape, 132), 4);
});
