import assert from "node:assert/strict";
import { test } from "node:test";
import { maxPoolGradientSource, maxPoolSource, type Pooling } from "../../../../src/runtime/gpu/source/pool.js";

// what the kernel computes is in fused.test.ts

const window = { kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0] };

const pooling = (shape: number[], pooled: number[], over: Pooling["window"] = window): Pooling => ({
  dtype: "float32",
  shape,
  pooled,
  window: over,
  channelsLast: false,
});

test("maxPoolGradientSource(small shape) launches as many blocks as it has work for", () => {
  assert.equal(maxPoolGradientSource(pooling([1, 1, 32, 32], [16, 16])).blocks, 4);
  assert.equal(maxPoolGradientSource(pooling([64, 64, 32, 32], [16, 16])).blocks, 16384);
});

test("maxPoolGradientSource(window) has a loop over windows for each spatial axis, and a name for each window", () => {
  const one = { kernel: [2], strides: [1], dilations: [1], pads: [0, 0] };
  const line = maxPoolGradientSource(pooling([1, 1, 8], [7], one));
  const plane = maxPoolGradientSource(pooling([1, 1, 8, 8], [4, 4]));
  assert.deepEqual(
    [line, plane].map(({ source }) => source.match(/for \(int o\d/g)?.length),
    [1, 2],
  );
  const wider = maxPoolGradientSource(pooling([1, 1, 8], [7], { ...one, dilations: [2] }));
  assert.notEqual(wider.name, line.name);
});

test("maxPoolSource(window) writes indices only where they are wanted", () => {
  const source = (indexed: boolean) =>
    maxPoolSource({ ...pooling([1, 1, 8, 8], [4, 4]), dtype: "bfloat16" }, indexed).source;
  assert.match(source(true), /__nv_bfloat16\* y, long long\* index\)/);
  assert.doesNotMatch(source(false), / index\[/);
});
