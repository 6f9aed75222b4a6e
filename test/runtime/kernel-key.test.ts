import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { kernelKey, requestOf, signatureOf } from "../../src/runtime/kernel-key.js";

/** The last node of a graph, with the graph. */
function lastOf(text: string) {
  const graph = parseGraph(text);
  return { graph, node: graph.nodes.at(-1) as Node };
}

const keyOf = (text: string): string => {
  const { graph, node } = lastOf(text);
  return kernelKey(requestOf(node, graph));
};

const signed = (text: string): string => {
  const { graph, node } = lastOf(text);
  return signatureOf(node, graph);
};

test("requestOf(node, graph) counts inputs up to the last one that is there, and types those that are", () => {
  const { graph, node } = lastOf("graph(float32[4] x, float32[] top) => (y) { y = Clip(x, _, top) }");
  const { op, types, inputCount, outputCount, node: name } = requestOf(node, graph);
  assert.deepEqual([name, op, [...types], inputCount, outputCount], ["y", "Clip", [["T", "float32"]], 3, 1]);
  const { graph: shorter, node: clip } = lastOf("graph(float32[4] x, float32[] low) => (y) { y = Clip(x, low) }");
  assert.equal(requestOf(clip, shorter).inputCount, 2);
});

test("kernelKey(request) is one for all shapes and names, and another for each type, attribute and count", () => {
  const relu = keyOf("graph(float32[4] x) => (y) { y = Relu(x) }");
  assert.equal(keyOf("graph(float32[2,3] x) => (y) { y = Relu(x) }"), relu);
  assert.equal(keyOf("graph(float32[4] a) => (b) { b = Relu(a) }"), relu);
  const keys = [
    relu,
    keyOf("graph(float64[4] x) => (y) { y = Relu(x) }"),
    keyOf("graph(float32[4] x) => (y) { y = Neg(x) }"),
    keyOf("graph(float32[4] x) => (y) { y = LeakyRelu<alpha=0.5>(x) }"),
    keyOf("graph(float32[4] x) => (y) { y = LeakyRelu<alpha=0.25>(x) }"),
    keyOf("graph(float32[4] x, float32[4] z) => (y) { y = Sum(x, z) }"),
    keyOf("graph(float32[4] x, float32[4] z) => (y) { y = Sum(x, z, x) }"),
  ];
  assert.equal(new Set(keys).size, keys.length);
});

test("signatureOf(node, graph) is the text that recordings hash: op, attributes, types, nothing of names", () => {
  assert.equal(
    signed("graph(float32[2,3] x, float32[3] b) => (y) { y = Add(x, b) }"),
    '["","Add",{},["float32[2,3]","float32[3]"],["float32[2,3]"]]',
  );
  assert.equal(
    signed("graph(float32[4] x, float32[] top) => (y) { y = Clip(x, _, top) }"),
    '["","Clip",{},["float32[4]","","float32[]"],["float32[4]"]]',
  );
  assert.equal(
    signed("graph(float16[4] x) => (y) { y = LeakyRelu<alpha=0.5>(x) }"),
    '["","LeakyRelu",{"alpha":{"type":"float","value":0.5}},["float16[4]"],["float16[4]"]]',
  );
});
