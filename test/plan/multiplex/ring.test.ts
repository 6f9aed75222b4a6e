import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Graph, Node } from "../../../src/graph/graph.js";
import {
  inStages,
  memberOf,
  merge,
  type Ring,
  ringOf,
  type Sections,
  sectionsOf,
} from "../../../src/plan/multiplex/ring.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { pairGraph } from "../../pair.js";

const graph = pairGraph();
const members = ["m0", "m1"];
const own = new Set(graph.nodes.map(({ name }) => name));
const text = (nodes: readonly Node[]): string => nodes.map(({ name }) => name.replace(/^m/, "")).join(" ");
const sections = (of: Graph): readonly Sections[] => sectionsOf(of.nodes, { members, own }).sections;

test("sectionsOf: forward nodes and the rest of each member, and what belongs to none", () => {
  const { sections: found, others } = sectionsOf(graph.nodes, { members, own });
  assert.deepEqual(
    found.map(({ forward, rest }) => [text(forward), text(rest)]),
    [
      ["0/a 0/b 0/loss", "0/db 0/da 0/w.next"],
      ["1/a 1/b 1/loss", "1/db 1/da 1/w.next"],
    ],
  );
  assert.deepEqual(
    others.map(({ name }) => name),
    ["sum"],
  );
  assert.equal(memberOf({ name: "sum" }), "");
  assert.equal(parseGraph("graph g(float32[1] x) => (y) { y = Relu(x) }").nodes.map(memberOf).join(), "");
});

test("sectionsOf: what a plan puts before the first backward node belongs to the rest, but for copies to the host", () => {
  const swapped = rewrite(graph, [
    { activation: "m0/a", action: "swap", swap: { outDone: "m0/loss", prefetch: "m0/loss" } },
  ]);
  const [first] = sections(swapped) as [Sections];
  assert.equal(text(first.forward), "0/a 0/b 0/a@swap/out 0/a@swap/host 0/loss");
  assert.equal(text(first.rest), "0/a@swap/in 0/db 0/a@swap 0/da 0/w.next");
});

test("ringOf and merge: forward phases beside the backward phase from its begin, half of it, or after it", () => {
  const nodeMs = graph.nodes.map(() => 1);
  const merged = (lag: number, of = graph): string[] => {
    const ring = ringOf(graph, nodeMs, members, { lag, stages: 0 });
    const found = sections(of);
    return found.map(({ rest }, i) => text(merge(rest, (found[1 - i] as Sections).forward, ring)));
  };
  assert.deepEqual(merged(1), ["0/db 0/da 0/w.next 1/a 1/b 1/loss", "1/db 1/da 1/w.next 0/a 0/b 0/loss"]);
  assert.equal(merged(0)[0], "1/a 0/db 1/b 0/da 1/loss 0/w.next");
  assert.equal(merged(0.5)[0], "0/db 1/a 0/da 1/b 1/loss 0/w.next");
  // a copy back begins before the forward nodes that hide it
  const swapped = rewrite(graph, [
    { activation: "m0/a", action: "swap", swap: { outDone: "m0/loss", prefetch: "m0/da" } },
  ]);
  assert.equal(merged(0, swapped)[0], "1/a 0/db 0/a@swap/in 1/b 0/a@swap 0/da 1/loss 0/w.next");
});

test("inStages: halves one after the other, each cut into stages, members in lanes of their own", () => {
  const ring: Ring = {
    ...ringOf(
      graph,
      graph.nodes.map(() => 1),
      members,
      { lag: 0, stages: 2 },
    ),
  };
  const halves = sections(graph).map(({ forward, rest }) => [...rest, ...forward]);
  const places = inStages(halves, ring).map(({ name, lane = 0, stage = 0 }) => `${name} ${lane} ${stage}`);
  assert.equal(places[0], "m0/db 0 0");
  assert.equal(places[5], "m0/loss 0 1");
  assert.equal(places[6], "m1/db 1 2");
  assert.ok(
    inStages(halves, { ...ring, stages: 0 }).every(({ lane, stage }) => lane === undefined && stage === undefined),
  );
  // of three members the last one has a lane beside the first and the second
  const three = inStages([["m0/x", "m1/x", "m2/x"].map((name) => ({ ...(graph.nodes[0] as Node), name }))], {
    ...ring,
    members: ["m0", "m1", "m2"],
  });
  assert.deepEqual(
    three.map(({ lane = 0 }) => lane),
    [0, 1, 2],
  );
});
