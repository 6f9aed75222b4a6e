import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { copiesOf } from "../../src/run/recomputed-copies.js";

// i is on the way to b alone, and nobody reads it backward; s makes two activations at once
const graph = parseGraph(`graph step(float32[4] x) => (y) {
  a = Exp(x)
  i = Sin(a)
  b = Cos(i)
  [s] l, r = Split<axis=0,num_outputs=2>(b)
  m = Mul(l, r)
backward:
  g = Sin(m)
  h = Mul(g, l)
  j = Mul(h, r)
  k = Concat<axis=0>(j, h)
  p = Mul(k, b)
  y = Mul(p, a)
}`);

const copies = (...evicted: readonly string[]) => {
  const planned = rewrite(
    graph,
    evicted.map((activation) => ({ activation, action: "recompute" as const })),
  );
  const found = copiesOf(graph, planned, new Set(evicted), (rank) => rank + 1);
  return Object.fromEntries(
    [...found].map(([name, list]) => [name, list.map(({ node, isMade, ms }) => [node, isMade, ms])]),
  );
};

test("copiesOf: what is made on the way counts for what it is made for, once a block", () => {
  assert.deepEqual(copies("b"), {
    b: [
      ["b@recompute", true, 3],
      ["i@recompute", false, 2],
    ],
  });
  // b's block makes a again, and so does a's own
  assert.deepEqual(copies("a", "b"), {
    a: [
      ["a@recompute", true, 1],
      ["a@recompute2", true, 1],
    ],
    b: [
      ["b@recompute", true, 3],
      ["i@recompute", false, 2],
    ],
  });
});

test("copiesOf: a node that makes two activations counts for each by half", () => {
  const { l, r } = copies("l", "r");
  // each has a block of its own, and s makes both in either
  for (const list of [l, r])
    assert.equal(
      list?.reduce((sum, [, , ms]) => sum + (ms as number), 0),
      4,
    );
});

test("copiesOf tells from what a block makes an activation", () => {
  const planned = rewrite(graph, [
    { activation: "a", action: "recompute" },
    { activation: "b", action: "recompute" },
  ]);
  const found = copiesOf(graph, planned, new Set(["a", "b"]), () => 1);
  assert.deepEqual([found.get("b")?.[0]?.sources, found.get("b")?.[0]?.block], [[], ["a", "i", "b"]]);
  const only = copiesOf(graph, rewrite(graph, [{ activation: "b", action: "recompute" }]), new Set(["b"]), () => 1);
  assert.deepEqual([only.get("b")?.[0]?.sources, only.get("b")?.[0]?.block], [["a"], ["i", "b"]]);
});
