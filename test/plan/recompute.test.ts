import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { insertRecomputation } from "../../src/plan/recompute.js";
import { linesOf } from "../lines.js";
import { chain, small } from "../swaps.js";

test("insertRecomputation(graph, one) puts its nodes before the first backward use, views too", () => {
  assert.deepEqual(linesOf(insertRecomputation(small, new Set(["b"])), "backward"), [
    "  activation b@recompute = Exp(a)",
    "  activation v@recompute = Reshape(b@recompute, const.int64.5)",
    "  dv = Mul(v@recompute, loss)",
    "  db = Reshape(dv, const.int64.11)",
    "  da = Mul(db, a)",
    "  y = ReduceSum<keepdims=0>(da)",
  ]);
});

test("insertRecomputation(graph, several): each block makes again what it needs, copies are numbered", () => {
  assert.deepEqual(linesOf(insertRecomputation(chain, new Set(["a", "b"])), "backward"), [
    "  g = Sin(f)",
    "  h = Sin(g)",
    "  i = Sin(h)",
    "  activation a@recompute = Exp(x)",
    "  activation b@recompute = Exp(a@recompute)",
    "  db = Mul(i, b@recompute)",
    "  j = Sin(db)",
    "  activation a@recompute2 = Exp(x)",
    "  da = Mul(j, a@recompute2)",
    "  y = Sin(da)",
  ]);
});

test("insertRecomputation(graph, several, held): the first block that needs it makes a held copy, later ones read it", () => {
  assert.deepEqual(linesOf(insertRecomputation(chain, new Set(["a", "b"]), new Set(["a"])), "backward"), [
    "  g = Sin(f)",
    "  h = Sin(g)",
    "  i = Sin(h)",
    "  activation a@recompute = Exp(x)",
    "  activation b@recompute = Exp(a@recompute)",
    "  db = Mul(i, b@recompute)",
    "  j = Sin(db)",
    "  da = Mul(j, a@recompute)",
    "  y = Sin(da)",
  ]);
});

test("insertRecomputation of a training batch norm renews its running statistics once, and reads them as renewed", () => {
  const graph =
    parseGraph(`graph(float32[2,3,4] x, parameter float32[3] s, buffer float32[3] m, buffer float32[3] v) => (y) {
  a, buffer m2, buffer v2, batch, inverse = mutwo:BatchNormalization(x, s, s, m, v)
  b = Sin(a)
backward:
  c = Sin(b)
  y = Mul(c, a)
  state m -> m2
  state v -> v2
}`);
  const [copy] = insertRecomputation(graph, new Set(["a"])).nodes.filter(({ name }) => name.includes("@recompute"));
  assert.deepEqual(copy?.inputs, ["x", "s", "s", "m2", "v2"]);
  assert.deepEqual(copy?.outputs.slice(0, 3), ["a@recompute", "", ""]);
});

test("insertRecomputation(graph) leaves names out that the graph has", () => {
  const taken = parseGraph(`graph taken(float32[8] x) => (y) {
  q = Exp(x)
  q@recompute = Sin(q)
backward:
  c = Mul(q@recompute, q@recompute)
  y = Mul(c, q)
}`);
  assert.deepEqual(linesOf(insertRecomputation(taken, new Set(["q"])), "backward"), [
    "  c = Mul(q@recompute, q@recompute)",
    "  activation q@recompute2 = Exp(x)",
    "  y = Mul(c, q@recompute2)",
  ]);
  assert.deepEqual(linesOf(insertRecomputation(taken, new Set(["q", "q@recompute"])), "backward"), [
    "  activation q@recompute2 = Exp(x)",
    "  activation q@recompute@recompute = Sin(q@recompute2)",
    "  c = Mul(q@recompute@recompute, q@recompute@recompute)",
    "  activation q@recompute3 = Exp(x)",
    "  y = Mul(c, q@recompute3)",
  ]);
});
