import assert from "node:assert/strict";
import { test } from "node:test";
import { maxPoolGradientSource, type Pooling } from "../../../../src/runtime/gpu/source/pool.js";

// what the kernel computes is in fused.test.ts

const window = { kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0] };

const pooling = (shape: number[], pooled: number[], over: Pooling["window"] = window): Pooling => ({
  dtype: "float32",
  shape,
  pooled,
  window: over,
  channelsLast: false,
});

test("maxPoolGradientSource(small shape) launches no more blocks than it has work for, else as many as fill the device", () => {
  assert.equal(maxPoolGradientSource(pooling([1, 1, 32, 32], [16, 16]), 132).blocks, 4);
  assert.equal(maxPoolGradientSource(pooling([64, 64, 32, 32], [16, 16]), 10).blocks, 320);
});

test("maxPoolGradientSource(window) has a loop over windows for each spatial axis, and a name for each window", () => {
  const one = { kernel: [2], strides: [1], dilations: [1], pads: [0, 0] };
  const line = maxPoolGradientSource(pooling([1, 1, 8], [7], one), 1);
  const plane = maxPoolGradientSource(pooling([1, 1, 8, 8], [4, 4]), 1);
  assert.deepEqual(
    [line, plane].map(({ source }) => source.match(/for \(int o\d/g)?.length),
    [1, 2],
  );
  const wider = maxPoolGradientSource(pooling([1, 1, 8], [7], { ...one, dilations: [2] }), 1);
  assert.notEqual(wider.name, line.name);
});
