import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { Finder } from "../../src/step/attention-pattern.js";

const found = (graph: Graph) =>
  new Finder(graph, new Set()).find(graph.nodes.find(({ op }) => op === "Softmax") as Node);

test("Finder.find(softmax) follows operands to where they lie, and multiplies their factors", () => {
  const graph = parseGraph(`graph g(float32[2,4,3,8] q, float32[2,5,3,8] k, float32[2,5,3,8] v) => (y) {
  qh = Transpose<perm=[0,2,1,3]>(q)
  qs = Mul(qh, float32[]{0.5})
  kt = Transpose<perm=[0,2,3,1]>(k)
  ks = Mul(float32[]{0.5}, kt)
  vh = Transpose<perm=[0,2,1,3]>(v)
  s = MatMul(qs, ks)
  p = Softmax<axis=-1>(s)
  y = MatMul(p, vh)
}`);
  const pattern = found(graph);
  assert.equal(pattern?.scale, 0.25);
  assert.deepEqual(pattern?.lead, [2, 3]);
  assert.deepEqual([pattern?.queries, pattern?.keys], [4, 5]);
  assert.deepEqual(pattern?.q.at(-1), { name: "q", positionAxis: 1, lead: [2, 3] });
  assert.deepEqual(pattern?.k.at(-1), { name: "k", positionAxis: 1, lead: [2, 3] });
  assert.deepEqual(pattern?.v.at(-1), { name: "v", positionAxis: 1, lead: [2, 3] });
});

test("Finder.find(softmax) looks behind joined batches and heads, and takes masks of scores that stand apart", () => {
  const graph =
    parseGraph(`graph g(float32[2,3,4,8] q, float32[2,3,5,8] k, float32[6,5,8] v, float32[2,1,4,5] m) => (y) {
  qj = Reshape(q, int64[3]{6, 4, 8})
  kj = Reshape(k, int64[3]{6, 5, 8})
  kt = Transpose<perm=[0,2,1]>(kj)
  s = MatMul(qj, kt)
  a = Reshape(s, int64[4]{2, 3, 4, 5})
  b = Add(a, m)
  c = Reshape(b, int64[3]{6, 4, 5})
  p = Softmax<axis=-1>(c)
  y = MatMul(p, v)
}`);
  const pattern = found(graph);
  assert.deepEqual(pattern?.lead, [2, 3]);
  assert.deepEqual(pattern?.masks, [{ kind: "added", name: "m", shape: [2, 3, 4, 5] }]);
  assert.deepEqual(pattern?.q.at(-1), { name: "q", positionAxis: 2, lead: [2, 3] });
  assert.deepEqual(pattern?.k.at(-1), { name: "k", positionAxis: 2, lead: [2, 3] });
  assert.deepEqual(pattern?.v.at(-1)?.lead, [6, 1]);
});

test("Finder.result(y) is what the product is only read as", () => {
  const graph = parseGraph(`graph g(float32[6,4,5] p, float32[6,5,8] v) => (z) {
  y = MatMul(p, v)
  a = Reshape(y, int64[4]{2, 3, 4, 8})
  t = Transpose<perm=[0,2,1,3]>(a)
  z = Exp(t)
}`);
  const finder = new Finder(graph, new Set());
  const [, reshape, transpose] = graph.nodes.map(({ name }) => name);
  assert.deepEqual(finder.result({ y: "y", queries: 4 }, [2, 3]), { name: "t", positionAxis: 1, skipped: [reshape, transpose] });
  assert.deepEqual(finder.result({ y: "y", queries: 4 }, [6, 1]), { name: "y", positionAxis: 2, skipped: [] });
});
