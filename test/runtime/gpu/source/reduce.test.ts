import assert from "node:assert/strict";
import { test } from "node:test";
import { reducedShape, reductionSource } from "../../../../src/runtime/gpu/source/reduce.js";

// what the kernels compute is in fused.test.ts

test("reducedShape(axes that stay apart) is none", () => {
  assert.equal(reducedShape([2, 3, 4, 5, 6], [1, 3]), undefined);
  assert.deepEqual(reducedShape([2, 3, 1, 4], [0, 3]), { outer: 1, before: 2, kept: 3, after: 4 });
  assert.deepEqual(reducedShape([2, 3], [0, 1]), { outer: 1, before: 6, kept: 1, after: 1 });
  assert.deepEqual(reducedShape([2, 3, 1, 4], [1]), { outer: 2, before: 3, kept: 4, after: 1 });
  assert.deepEqual(reducedShape([2, 1, 3, 4, 5], [2, 4]), { outer: 2, before: 3, kept: 4, after: 5 });
});

test("reductionSource(shape, multiprocessors) cuts a long sum into as many parts as fill the device", () => {
  const sum = { outer: 1, before: 100_000, kept: 64, after: 1 }; // two blocks of columns a part
  assert.equal(reductionSource("float32", sum, 1, 10).first.blocks, 2 * 40);
  assert.equal(reductionSource("float32", sum, 1, 100).first.blocks, 2 * 400);
});

test("reductionSource(short sum) is one kernel without a workspace; parts of 16-bit sums are kept in float32", () => {
  const short = reductionSource("float16", { outer: 1, before: 20, kept: 64, after: 1 }, 1, 132);
  assert.deepEqual([short.second, short.workspaceBytes], [undefined, 0]);
  const long = reductionSource("float16", { outer: 1, before: 100_000, kept: 64, after: 1 }, 1, 10);
  assert.equal(long.workspaceBytes, 40 * 64 * 4);
  assert.match(long.second?.source ?? "", /\(const float\* parts, __half\* out\)/);
});
