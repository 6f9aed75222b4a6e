import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import {
  activationOf,
  recomputeRanks,
  recomputeSources,
  type SavedActivation,
  savedActivations,
} from "../../src/memory/activations.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { small, smallSwaps } from "../swaps.js";

const saved = (graph: Graph, name: string): SavedActivation =>
  savedActivations(graph).get(name) ?? assert.fail(`not saved: ${name}`);

test("savedActivations(graph) are what the backward phase reads, views with what they show", () => {
  assert.deepEqual([...savedActivations(small).keys()], ["a", "b", "loss"]);
  const { members, backwardMembers, created, firstForwardAccess, lastForwardAccess } = saved(small, "b");
  assert.deepEqual([members, backwardMembers], [["b", "v"], ["v"]]);
  // the view itself is no use: c is the first node that reads b's bytes
  assert.deepEqual([created, firstForwardAccess, lastForwardAccess], [2, 4, 4]);
  assert.deepEqual([saved(small, "b").firstBackwardAccess, saved(small, "b").lastBackwardAccess], [7, 7]);
  assert.deepEqual(
    [...activationOf(small)],
    [
      ["a", "a"],
      ["b", "b"],
      ["v", "b"],
      ["loss", "loss"],
    ],
  );
});

test("savedActivations(graph) leaves out what lies in host memory", () => {
  assert.deepEqual([...savedActivations(rewrite(small, smallSwaps)).keys()], ["loss"]);
});

test("savedActivations(graph) is computed once for each graph", () => {
  assert.equal(savedActivations(small), savedActivations(small));
  assert.notEqual(savedActivations(small), savedActivations({ ...small }));
});

test("recomputeRanks(graph, …) walks back to what is kept, further where that is evicted", () => {
  const names = (evicted: readonly string[]): string[] =>
    recomputeRanks(small, saved(small, "b"), new Set(evicted)).map((rank) => small.nodes[rank]?.name as string);
  assert.deepEqual(names([]), ["b", "v"]);
  assert.deepEqual(names(["a"]), ["h", "a", "b", "v"]);
  assert.deepEqual(recomputeSources(small, saved(small, "b"), [2, 3]), ["a"]);
  assert.deepEqual(recomputeSources(small, saved(small, "b"), [0, 1, 2, 3]), []);
});

test("savedActivations(graph) says why an activation cannot be recomputed", () => {
  const graph = parseGraph(`graph g(float32[8] x, buffer float32[8] mean) => (y) {
  r = Dropout(x)
  s = Exp(r)
  t = Mul(x, mean)
  buffer next = Add(mean, x)
  u = Exp(t)
backward:
  a = Mul(s, u)
  y = Mul(a, t)
  state mean -> next
}`);
  const why = (name: string) => saved(graph, name).fixed;
  assert.equal(why("s"), "random numbers: r");
  assert.equal(why("t"), "reads state that is renewed before: mean");
  // u is made from t, which is kept
  assert.equal(why("u"), null);
});
