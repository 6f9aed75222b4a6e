import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { leadOf, type Operand, viewOf } from "../../src/step/attention-operands.js";
import { Finder } from "../../src/step/attention-pattern.js";

const found = (graph: Graph) =>
  new Finder(graph, new Set()).find(graph.nodes.find(({ op }) => op === "Softmax") as Node);

/** The tensor that an operand of 2·3 heads of 8 is read from last, how its heads stand, and where it lies. */
function lying(operands: readonly Operand[] = [], rows = 0) {
  const last = operands.at(-1) as Operand;
  return [last.name, leadOf(last), viewOf(last, [2, 3], rows, 8)];
}

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
  assert.deepEqual(lying(pattern?.q, 4), ["q", [2, 3], { offset: 0, strides: [96, 8, 24] }]);
  assert.deepEqual(lying(pattern?.k, 5), ["k", [2, 3], { offset: 0, strides: [120, 8, 24] }]);
  assert.deepEqual(lying(pattern?.v, 5), ["v", [2, 3], { offset: 0, strides: [120, 8, 24] }]);
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
  assert.deepEqual(lying(pattern?.q, 4), ["q", [6, 1], { offset: 0, strides: [96, 32, 8] }]);
  assert.deepEqual(lying(pattern?.k, 5), ["k", [6, 1], { offset: 0, strides: [120, 40, 8] }]);
  assert.deepEqual(lying(pattern?.v, 5), ["v", [6, 1], { offset: 0, strides: [120, 40, 8] }]);
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
  assert.deepEqual(finder.result({ y: "y", queries: 4 }, [2, 3]), {
    name: "t",
    positionAxis: 1,
    skipped: [reshape, transpose],
  });
  assert.deepEqual(finder.result({ y: "y", queries: 4 }, [6, 1]), { name: "y", positionAxis: 2, skipped: [] });
});

test("Finder.result(y) knows positions before batch and heads", () => {
  const of = (body: string) =>
    new Finder(
      parseGraph(`graph g(float32[6,4,5] p, float32[6,5,8] v) => (z) {
  y = MatMul(p, v)
${body}
  z = Exp(t)
}`),
      new Set(),
    ).result({ y: "y", queries: 4 }, [2, 3]);
  const apart = of("a = Reshape(y, int64[4]{2, 3, 4, 8})\nt = Transpose<perm=[2,0,1,3]>(a)");
  assert.deepEqual([apart.name, apart.positionAxis], ["t", 0]);
  const joined = of("t = Transpose<perm=[1,0,2]>(y)");
  assert.deepEqual([joined.name, joined.positionAxis], ["t", 0]);
  assert.deepEqual(of("t = Transpose<perm=[0,2,1]>(y)").name, "y");
});
