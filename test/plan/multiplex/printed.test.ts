import assert from "node:assert/strict";
import { test } from "node:test";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { timeline } from "../../../src/memory/liveness.js";
import { printedRing } from "../../../src/plan/multiplex/printed.js";
import { rotate } from "../../../src/plan/multiplex/rotate.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { pairGraph } from "../../pair.js";

const graph = pairGraph();
const nodeMs = graph.nodes.map(() => 1);
const members = ["m0", "m1"];
const planned = (swapMs: number, limit: number) => {
  const rows = activationRows(graph, nodeMs, { swapMs: () => swapMs, swapMeasured: false });
  return printedRing({ graph, nodeMs, rows }, members, 0, limit);
};

test("printedRing: nothing is evicted, and forward phases stand last, where all fits", () => {
  const { decisions, ring, feasible, cases } = planned(1, Number.POSITIVE_INFINITY);
  assert.deepEqual([decisions, ring.before.size, feasible, cases], [[], 0, true, {}]);
});

test("printedRing: what is evicted of equal members is the same, and is carried out in the ring that it asks for", () => {
  const { peakBytes: unplanned } = planned(1, Number.POSITIVE_INFINITY);
  for (const swapMs of [0.5, 100]) {
    const { decisions, ring, peakBytes, feasible } = planned(swapMs, unplanned - 1);
    assert.ok(decisions.length > 0 && peakBytes <= unplanned);
    assert.equal(feasible, peakBytes <= unplanned - 1);
    const of = (member: string) =>
      decisions.flatMap(({ activation, action }) =>
        activation.startsWith(member) ? [`${activation.slice(3)} ${action}`] : [],
      );
    assert.deepEqual(of("m0/"), of("m1/"));
    const rotation = rotate(rewrite(graph, decisions), ring);
    assert.ok(timeline(rotation.graph).peakBytes > 0);
  }
});
