import assert from "node:assert/strict";
import { test } from "node:test";
import { overThree } from "../fused.js";

test("a product with each model's matrix is one batch of products, one with a matrix of all models one product", () => {
  const own = overThree("graph n(float32[5,2,4] x, parameter float32[4,3] w) => (y) { y = MatMul(x, w) }");
  assert.deepEqual(own.shapes, ["FusedMatMul [3,10,3]"]);
  const common = overThree("graph n(float32[5,2,4] x, constant float32[4,3] w = {1}) => (y) { y = MatMul(x, w) }");
  assert.deepEqual(common.shapes, ["MatMul [3,5,2,3]"]);
});

test("vectors are rows and columns of a model's product; Gemm adds what it adds after", () => {
  const dot = overThree("graph n(float32[4] x, parameter float32[4] w) => (y) { y = MatMul(x, w) }");
  assert.deepEqual(dot.shapes, ["MatMul [3,1,1]"]);
  const gemm = overThree(`graph n(float32[5,4] x, parameter float32[3,4] w, parameter float32[3] b) => (y) {
    y = Gemm<transB=1, alpha=2.0, beta=0.5>(x, w, b)
  }`);
  assert.deepEqual(gemm.shapes, ["FusedMatMul [3,5,3]", "Mul [3,1,3]", "Add [3,5,3]"]);
  assert.deepEqual(Object.keys(gemm.nodes[0]?.attributes ?? {}).sort(), ["alpha", "transB"]);
});
