import assert from "node:assert/strict";
import { test } from "node:test";
import { knownName } from "../../src/graph/names.js";
import { opOf } from "../../src/ops/index.js";
import type { Decision } from "../../src/plan/plan.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { peakIntervalOf, plannedPeak, plannedRows, unplannedRows } from "../../src/run/planned-rows.js";
import { planRun } from "../../src/run/replan.js";
import { loadGraph, type Run } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

/** What a plan's copies of nodes take, ms. */
function copiesMs(run: Run): number {
  const graph = loadGraph(run.graph);
  const ms = new Map(run.before.nodes.map(({ name, time }) => [name, time.medianMs]));
  const planned = rewrite(graph, run.plan?.decisions ?? []);
  return planned.nodes
    .filter((node) => !ms.has(node.name) && !opOf(node).swap)
    .reduce((sum, { name }) => sum + (ms.get(knownName(name, ms)) ?? 0), 0);
}

const runs = (["resnet-h100", "gpt2-h100", "mlp-cpu"] as const).flatMap((name) => [
  ...["recomputeAll", "swapAll"].map((planner) => planRun(goldenRun(name), { planner })),
  ...["mutwo", "capuchin", "sqrt"].map((planner) => planRun(goldenRun(name), { planner, budget: "85%" })),
]);

for (const run of runs)
  test(`plannedRows: totals add up to what copies of nodes take, counts are those of the graph: ${run.model.file}, ${run.plan?.planner}`, () => {
    const { activations = [] } = plannedRows(run) ?? {};
    const sum = activations.reduce((total, { totalRecomputeMs }) => total + totalRecomputeMs, 0);
    const spent = copiesMs(run);
    assert.ok(Math.abs(sum - spent) < 1e-9 * Math.max(1, spent), `${sum} of ${spent} ms`);
    const planned = rewrite(loadGraph(run.graph), run.plan?.decisions ?? []);
    const tensors = loadGraph(run.graph).tensors;
    const copied = new Map<string, number>();
    for (const { outputs } of planned.nodes)
      for (const name of outputs) {
        const original = knownName(name, tensors);
        if (original !== name && /@recompute\d*$/.test(name)) copied.set(original, (copied.get(original) ?? 0) + 1);
      }
    const evicted = new Set(run.plan?.decisions.flatMap((d) => (d.action === "recompute" ? [d.activation] : [])));
    for (const { name, recomputeCount, recomputeMs, totalRecomputeMs } of activations) {
      assert.equal(recomputeCount, evicted.has(name) ? copied.get(name) : 0, name);
      assert.ok(!recomputeCount || Math.abs(recomputeCount * recomputeMs - totalRecomputeMs) < 1e-9);
    }
  });

test("plannedRows has a row a node of the planned step, with what leaves and comes back there", () => {
  for (const run of runs) {
    const rows = plannedRows(run);
    assert.ok(rows && run.plan);
    const planned = rewrite(loadGraph(run.graph), run.plan.decisions);
    assert.deepEqual(
      rows.nodes.map(({ name }) => name),
      planned.nodes.map(({ name }) => name),
    );
    const all = (list: "toOffload" | "toDelete" | "toPrefetch" | "toRecompute") =>
      rows.nodes.flatMap((row) => row[list]).sort();
    const of = (action: "swap" | "recompute") =>
      run.plan?.decisions.flatMap((one) => (one.action === action ? [one.activation] : [])).sort();
    assert.deepEqual([all("toOffload"), all("toPrefetch")], [of("swap"), of("swap")]);
    assert.deepEqual([all("toDelete"), all("toRecompute")], [of("recompute"), of("recompute")]);
    const peak = Math.max(...rows.nodes.map(({ liveBytes }) => liveBytes));
    assert.equal(peak, run.plan.timelinePeakBytes);
    assert.equal(
      rows.nodes.some(({ inPeakInterval }) => inPeakInterval),
      run.plan.budgetBytes !== null && peak > run.plan.budgetBytes,
    );
    for (const row of rows.activations) {
      const decision: Decision | undefined = run.plan.decisions.find(({ activation }) => activation === row.name);
      assert.equal(row.prefetchPrompt, decision?.swap?.prefetch ?? null);
      assert.ok(row.activeForward.last >= row.lastForwardAccess);
      assert.ok(row.activeBackward.first <= row.firstBackwardAccess);
      assert.ok(row.activeForward.last < row.activeBackward.first);
    }
  }
});

test("unplannedRows: nothing is evicted; what is over the budget is the peak interval", () => {
  const run = planRun(goldenRun("resnet-h100"), { planner: "mutwo", budget: "85%" });
  const { nodes, activations } = unplannedRows(run);
  assert.ok(
    nodes.every(({ toOffload, toDelete, toPrefetch, toRecompute }) =>
      [toOffload, toDelete, toPrefetch, toRecompute].every((list) => list.length === 0),
    ),
  );
  const interval = peakIntervalOf(run);
  assert.ok(interval && nodes[interval.first]?.inPeakInterval && nodes[interval.last]?.inPeakInterval);
  assert.ok(activations.some(({ inPeakInterval }) => inPeakInterval));
  assert.ok(activations.every(({ recomputeCount, prefetchPrompt }) => recomputeCount === 1 && prefetchPrompt === null));
  // copies were measured each way
  assert.ok(activations.every(({ swapOutMs, swapInMs, swapMs }) => Math.max(swapOutMs, swapInMs) === swapMs));
  assert.equal(plannedRows({ ...run, plan: null }), undefined);
});

test("plannedPeak(run) is where the executed planned step has its peak, with the same holders; undefined without a plan", () => {
  for (const name of ["resnet-h100", "gpt2-h100", "mlp-cpu"] as const) {
    const run = goldenRun(name);
    assert.ok(run.after);
    const { nodes, timeline, peakHolders } = run.after;
    const { node, bytes, holders } = plannedPeak({ ...run, after: null } as Run) ?? {};
    const row = nodes[timeline.peakRank];
    assert.deepEqual(node, { name: row?.name, op: row?.op, phase: row?.phase });
    assert.equal(bytes, timeline.peakBytes);
    assert.deepEqual(holders, peakHolders);
    assert.equal(plannedPeak({ ...run, plan: null }), undefined);
  }
});
