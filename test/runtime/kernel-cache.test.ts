import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { kernelFinder, Operators } from "../../src/runtime/kernel-cache.js";
import { requestOf } from "../../src/runtime/kernel-key.js";
import { writtenKernels } from "./written-kernels.js";

const graph = parseGraph(`graph(float32[4] x, float32[2,2] z) => (d) {
  a = Relu(x)
  b = Relu(a)
  c = Relu(z)
  d = Neg(b)
}`);

test("kernelFinder(kernels) looks each kernel up once, whether it is there or not, and keeps none", () => {
  const kernels = writtenKernels(["Neg"]);
  const find = kernelFinder(kernels);
  const found = () => graph.nodes.map((node) => find(node, graph));
  assert.deepEqual(found(), [true, true, true, false]);
  assert.deepEqual(kernels.lines, ["op 1 Relu", "release op 1"]);
  assert.deepEqual(found(), [true, true, true, false]);
  assert.equal(kernels.lines.length, 2);
});

const operators = (of: Graph, knowShapes: boolean) => {
  const kernels = writtenKernels();
  const made = new Operators(of, kernels, knowShapes);
  const ops = of.nodes.map((node: Node, index) => Number(made.of(index, requestOf(node, of))));
  return { kernels, made, ops };
};

test("Operators.of(index) is one for nodes whose kernels are alike, with equal shapes if kernels know them", () => {
  assert.deepEqual(operators(graph, false).ops, [1, 1, 1, 2]);
  assert.deepEqual(operators(graph, true).ops, [1, 1, 2, 3]);
});

test("Operators.of(index) gives each random node its own: kernels keep their generators", () => {
  const random = parseGraph(`graph(float32[4] x) => (b) {
  a = RandomUniformLike(x)
  b = RandomUniformLike(a)
}`);
  assert.deepEqual(operators(random, false).ops, [1, 2]);
});

test("Operators.release() releases each operator once", () => {
  const { kernels, made } = operators(graph, false);
  made.release();
  made.release();
  assert.deepEqual(kernels.lines, ["op 1 Relu", "op 2 Neg", "release op 1", "release op 2"]);
});
