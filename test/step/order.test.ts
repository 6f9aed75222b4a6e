import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Group } from "../../src/step/fused-node.js";
import { order, passesOf } from "../../src/step/order.js";

const graph = parseGraph(`graph g(float32[4] x) => (e) {
  a = Exp(x)
  b = Sin(x)
loss:
  c = Mul(a, b)
backward:
  d = Exp(c)
forward:
  f = Exp(x)
update:
  e = Add(d, f)
}`);

test("passesOf(graph) counts forward with the loss, backward, and again for the next micro-batch", () => {
  assert.deepEqual(passesOf(graph), [0, 0, 0, 1, 2, 3]);
});

test("order(graph, …) puts a group where its last member stands, pass by pass", () => {
  const sources = [[], [], [0, 1], [2], [], [3, 4]];
  const group: Group = { members: [0, 2], shape: [4] };
  const whole = { ...graph.nodes[2]!, name: "whole" };
  const groupOf = new Map(group.members.map((rank) => [rank, group]));
  const names = (passes: readonly number[]): string[] =>
    order(graph, sources, passes, groupOf, new Map([[group, whole]])).map(({ name }) => name);
  assert.deepEqual(names(passesOf(graph)), ["b", "whole", "d", "f", "e"]);
  // f may come before the others as soon as its pass does
  assert.deepEqual(names([1, 1, 1, 2, 0, 3]), ["f", "b", "whole", "d", "e"]);
});

test("order(graph, …) refuses groups that wait for each other", () => {
  const group: Group = { members: [0, 3], shape: [4] };
  const groupOf = new Map(group.members.map((rank) => [rank, group]));
  const written = new Map([[group, graph.nodes[3]!]]);
  assert.throws(
    () => order(graph, [[], [], [0, 1], [2], [], [3, 4]], passesOf(graph), groupOf, written),
    /^Error: a cycle among fused nodes \(graph g\)$/,
  );
});
