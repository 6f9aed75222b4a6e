import assert from "node:assert/strict";
import { test } from "node:test";
import { elementCount } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { handsOn, writtenNorms } from "../../src/model/statistics.js";
import { modelNode } from "./model-node.js";

/** What is found where all but x and h are held: m, v, d, k, g, b are vectors, the others numbers. */
const found = (nodes: readonly string[], numbers: Readonly<Record<string, number>> = {}) => {
  const held = [...["m", "v", "d", "k", "g", "b"].map((name) => [name, 4] as const), ["e", 1] as const].map(
    ([name, size]) => ({ name, shape: [size], dtype: "float32" as const, isLiteral: false }),
  );
  const single = Object.entries(numbers).map(([name, value]) => ({
    name,
    shape: [],
    dtype: "float32" as const,
    isLiteral: false,
    data: bytesOf("float32", [value]),
  }));
  const { statistics, affine } = writtenNorms({ nodes: nodes.map((text) => modelNode(text)) }, [
    ...held.map((tensor) => ({ ...tensor, data: bytesOf("float32", new Array(elementCount(tensor.shape)).fill(1)) })),
    ...single,
  ]);
  return { statistics: [...statistics].sort().join(), affine: [...affine].sort().join() };
};

const root = ["w = Add(v, e)", "r = Sqrt(w)"];

const cases: readonly (readonly [title: string, nodes: readonly string[], statistics: string, affine: string])[] = [
  ["as it is written", [...root, "c = Sub(x, m)", "n = Div(c, r)", "s = Mul(n, g)", "y = Add(s, b)"], "m,v", "b,g"],
  [
    "the scale before the divisor",
    [...root, "c = Sub(x, m)", "s = Mul(c, g)", "n = Div(s, r)", "y = Add(n, b)"],
    "m,v",
    "b",
  ],
  [
    "the scale over the root",
    [...root, "k2 = Div(g, r)", "c = Sub(x, m)", "s = Mul(k2, c)", "y = Add(b, s)"],
    "m,v",
    "b,g",
  ],
  ["the root over the scale", [...root, "k2 = Div(r, g)", "c = Sub(x, m)", "y = Div(c, k2)"], "m,v", "g"],
  [
    "a reciprocal under the root",
    ["w = Add(v, e)", "i = Reciprocal(w)", "r = Sqrt(i)", "c = Sub(x, m)", "y = Mul(c, r)"],
    "m,v",
    "",
  ],
  ["without a mean", [...root, "y = Div(x, r)"], "v", ""],
  ["a negative mean that is added", [...root, "n = Neg(m)", "c = Add(x, n)", "y = Div(c, r)"], "m,v", ""],
  ["means over deviations on their own", [...root, "p = Div(x, r)", "q = Div(m, r)", "y = Sub(p, q)"], "m,v", ""],
  ["through views", [...root, "t = Identity(r)", "c = Sub(x, m)", "u = Identity(c)", "y = Div(u, t)"], "m,v", ""],
  ["folded: mean, scale, shift", ["c = Sub(x, m)", "s = Mul(c, g)", "y = Add(s, b)"], "m", "b,g"],
  ["folded: mean, deviation, shift", ["c = Sub(x, m)", "s = Div(c, d)", "y = Add(s, b)"], "d,m", "b"],
  ["folded: mean, scale, deviation", ["c = Sub(x, m)", "s = Mul(c, g)", "y = Div(s, d)"], "d,m", "g"],
  ["folded: mean, two factors", ["c = Sub(x, m)", "n = Mul(c, k)", "s = Mul(n, g)", "y = Add(s, b)"], "k,m", "b,g"],
  ["a learned shift alone", ["c = Sub(x, m)", "y = Relu(c)"], "", ""],
  ["radial bases", ["c = Sub(x, m)", "o = Div(c, d)", "y = Mul(o, o)"], "", ""],
  ["scale and shift alone", ["s = Mul(x, g)", "y = Add(s, b)"], "", ""],
  ["a bias before a scale", ["a = Add(x, m)", "s = Mul(a, g)", "y = Add(s, b)"], "", ""],
  ["what is read elsewhere too", [...root, "n = Div(x, r)", "y = Add(n, v)"], "", "v"],
  ["a root that multiplies", [...root, "y = Mul(x, r)"], "", ""],
  [
    "a root of the data",
    ["w = Add(x, e)", "r = Sqrt(w)", "n = Div(h, r)", "s = Mul(n, g)", "y = Add(s, b)"],
    "",
    "b,g",
  ],
  ["what several make together", ["p = MatMul(x, k)", "j = Mul(b, g)", "y = Add(p, j)"], "", ""],
  ["a product's own", ["p = MatMul(x, k)", "q = Add(p, b)", "y = Mul(q, g)"], "", "b,g"],
];

for (const [title, nodes, statistics, affine] of cases)
  test(`writtenNorms(model): ${title}`, () => assert.deepEqual(found(nodes), { statistics, affine }));

test("writtenNorms(model) knows the exponents of roots", () => {
  const nodes = ["w = Add(v, e)", "r = Pow(w, p)", "c = Sub(x, m)", "y = Mul(c, r)"];
  assert.equal(found(nodes, { p: -0.5 }).statistics, "m,v");
  assert.equal(found(nodes, { p: 0.5 }).statistics, "");
  assert.equal(found(nodes, { p: 2 }).statistics, "");
});

test("handsOn(node): views, names and what moves elements of one tensor", () => {
  assert.ok(handsOn(modelNode("y = Identity(x)")));
  assert.ok(handsOn(modelNode("y = Expand(x, shape)")));
  assert.ok(!handsOn(modelNode("y = Concat(x, h)")));
  assert.ok(!handsOn(modelNode("y = Relu(x)")));
});
