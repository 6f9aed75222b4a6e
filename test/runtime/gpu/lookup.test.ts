import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { kernelLookup } from "../../../src/runtime/gpu/lookup.js";

const means = { cudnn: { supports: () => true }, compiles: true, deterministic: false, tf32: true, attends: true };

const runs = (text: string, found: boolean, compiles = true): boolean[] => {
  const graph = parseGraph(text);
  const hasKernel = kernelLookup({ ...means, compiles }, () => found);
  return graph.nodes.map((node) => hasKernel(node, graph));
};

test("kernelLookup(means, findsKernel) takes a node that runs without a kernel of ONNX Runtime, or that has one", () => {
  const sum = "graph(float32[3,4] x) => (y) { y = ReduceSum(x, int64[1]{1}) }";
  assert.deepEqual([runs(sum, false), runs(sum, false, false), runs(sum, true, false)], [[true], [false], [true]]);
  assert.deepEqual(runs("graph(float32[3,4] x) => (y) { y = Exp(x) }", false), [false]);
});

test("kernelLookup(means, findsKernel) wants to know what a kernel reads on the host", () => {
  const graph = parseGraph("graph(float32[3,1] x) => (y) { y = Expand(x, int64[2]{3,4}) }");
  const unknown = new Map([...graph.tensors].map(([name, { data, ...tensor }]) => [name, tensor]));
  const hasKernel = kernelLookup(means, () => true);
  assert.deepEqual(
    graph.nodes.map((node) => [hasKernel(node, graph), hasKernel(node, { tensors: unknown })]),
    [[true, false]],
  );
});
