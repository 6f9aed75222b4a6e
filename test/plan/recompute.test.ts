import assert from "node:assert/strict";
import { test } from "node:test";
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
