import assert from "node:assert/strict";
import { test } from "node:test";
import { maxPoolGradientSource, maxPoolSource } from "../../../../src/runtime/gpu/source/pool.js";

// what the kernel computes is in fused.test.ts

const window = { kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0] };

test("maxPoolGradientSource(small shape) launches as many blocks as it has work for", () => {
  assert.equal(maxPoolGradientSource("float32", [1, 1, 32, 32], [16, 16], window).blocks, 4);
  assert.equal(maxPoolGradientSource("float32", [64, 64, 32, 32], [16, 16], window).blocks, 16384);
});

test("maxPoolGradientSource(window) has a loop over windows for each spatial axis, and a name for each window", () => {
  const one = { kernel: [2], strides: [1], dilations: [1], pads: [0, 0] };
  const line = maxPoolGradientSource("float32", [1, 1, 8], [7], one);
  const plane = maxPoolGradientSource("float32", [1, 1, 8, 8], [4, 4], window);
  assert.deepEqual(
    [line, plane].map(({ source }) => source.match(/for \(int o\d/g)?.length),
    [1, 2],
  );
  const wider = maxPoolGradientSource("float32", [1, 1, 8], [7], { ...one, dilations: [2] });
  assert.notEqual(wider.name, line.name);
});

test("maxPoolSource(window) writes indices only where they are wanted", () => {
  const source = (indexed: boolean) => maxPoolSource("bfloat16", [1, 1, 8, 8], [4, 4], window, indexed).source;
  assert.match(source(true), /__nv_bfloat16\* y, long long\* at\)/);
  assert.doesNotMatch(source(false), / at\[/);
});
