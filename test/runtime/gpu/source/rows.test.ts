import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import type { Node } from "../../../../src/graph/graph.js";
import { reducedAxesOf, rowKernel } from "../../../../src/runtime/gpu/source/rows.js";

// what the kernels compute is in fused.test.ts

const summed = (rows: number, columns: number) =>
  parseGraph(`graph(float32[${rows},${columns}] x) => (y) { y = ReduceSum<axes=[-1], keepdims=1>(x) }`);

const kernel = (rows: number, columns: number, aligned = true) =>
  rowKernel(summed(rows, columns), ["x"], [rows, columns], 1, aligned, 10);

test("reducedAxesOf(node) counts the axes: an input, an attribute, or all", () => {
  const of = (text: string) => {
    const body = parseGraph(`graph(float32[2,3,4] x) => (y) { y = ${text} }`);
    return reducedAxesOf(body.nodes[0] as Node, body);
  };
  assert.equal(of("ReduceSum(x, int64[2]{1,2})"), 2);
  assert.equal(of("ReduceMax<axes=[-1]>(x)"), 1);
  assert.equal(of("ReduceSum(x)"), 3);
});

test("rowKernel(short rows) gives each a warp, four to a block; long ones as many threads as keep the row", () => {
  assert.deepEqual([kernel(100, 64).threads, kernel(100, 64).blocks], [128, 25]);
  assert.deepEqual([kernel(100, 512).threads, kernel(100, 512).blocks], [128, 25]);
  assert.deepEqual([kernel(100, 513).threads, kernel(100, 513).blocks], [64, 100]);
  assert.deepEqual([kernel(7, 16384).threads, kernel(7, 16384).blocks], [1024, 7]);
  assert.equal(kernel(10 ** 6, 64).blocks, 640);
});

test("rowKernel(row that does not fill its threads) guards each element; only aligned rows of fours are read by fours", () => {
  assert.match(kernel(3, 40).source, /if \(.* < 40\)/);
  assert.doesNotMatch(kernel(3, 128).source, /if \(.* < 128\)/);
  assert.match(kernel(3, 128).source, /mutwo_four<float> four/);
  assert.doesNotMatch(kernel(3, 128, false).source, /mutwo_four/);
  assert.doesNotMatch(kernel(3, 127).source, /mutwo_four/);
});

test("rowKernel(rows of more than a warp) joins the warps' sums through shared memory", () => {
  assert.doesNotMatch(kernel(3, 512).source, /mutwo_shared/);
  assert.match(kernel(3, 4096).source, /__shared__ double mutwo_shared\[33\]/);
});
