import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { fusedSource } from "../../../../src/runtime/gpu/source/fused.js";
import { maxPoolGradientSource } from "../../../../src/runtime/gpu/source/pool.js";
import { reductionSource } from "../../../../src/runtime/gpu/source/reduce.js";

test("fusedSource(body, multiprocessors): the same text, a grid that is no larger than the device asks", () => {
  const pointwise = parseGraph("graph(float32[4096,4096] x) => (y) { y = Exp(x) }");
  const rows = parseGraph("graph(float32[100000,64] x) => (y) { y = ReduceSum<axes=[-1], keepdims=1>(x) }");
  const long = parseGraph("graph(float32[100000,2048] x) => (y) { y = ReduceSum<axes=[-1], keepdims=1>(x) }");
  for (const [body, perMultiprocessor] of [
    [pointwise, 16],
    [rows, 64],
    [long, 16],
  ] as const) {
    const [small, large] = [fusedSource(body, true, 10), fusedSource(body, true, 132)];
    assert.equal(small.source, large.source);
    assert.deepEqual([small.blocks, large.blocks], [10 * perMultiprocessor, 132 * perMultiprocessor]);
  }
});

test("a small kernel launches no more blocks than it has work for", () => {
  const body = parseGraph("graph(float32[2,512] x) => (y) { y = Exp(x) }");
  assert.equal(fusedSource(body, true, 132).blocks, 1);
  const window = { kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0] };
  assert.equal(maxPoolGradientSource("float32", [1, 1, 32, 32], [16, 16], window, 132).blocks, 4);
});

test("reductionSource(shape, multiprocessors) cuts a long sum into as many parts as fill the device", () => {
  const sum = { before: 100_000, kept: 64, after: 1 }; // two blocks of columns a part
  assert.equal(reductionSource("float32", sum, 1, 10).first.blocks, 2 * 40);
  assert.equal(reductionSource("float32", sum, 1, 100).first.blocks, 2 * 400);
});
