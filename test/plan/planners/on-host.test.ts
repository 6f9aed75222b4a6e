import assert from "node:assert/strict";
import { after, test } from "node:test";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import type { PlanProblem } from "../../../src/plan/plan.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { hosted } from "../../../src/plan/planners/on-host.js";
import { judge } from "../../../src/plan/planners/prefix.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { hiddenStates, stateOptions } from "../../../src/plan/state-options.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { fixtureStep } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const graph = fixtureStep(runtime, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam" }, { batch: 2 });

const nodeMs = graph.nodes.map((_, i) => 1 + (i % 5) / 5);

const problem: PlanProblem = {
  graph,
  nodeMs,
  rows: activationRows(graph, nodeMs, { swapMs: (bytes) => bytes / 1e5, swapMeasured: false }),
  budgetBytes: null,
  effort: { moves: 500, timeLimitMs: 60_000 },
};

test("hosted(problem, states) is the same step with copies that take no time of their own, its rows where they are then", () => {
  const options = stateOptions(problem);
  const placed = hiddenStates(problem, options);
  const { stateMs, ...own } = hosted(problem, options, placed);
  const sum = (list: readonly number[]): number => list.reduce((total, ms) => total + ms, 0);
  assert.ok(Math.abs(sum(own.nodeMs) - sum(nodeMs)) < 1e-6);
  own.rows.forEach(({ name, producer, createdRank }, i) => {
    assert.equal(own.graph.nodes[createdRank]?.name, producer);
    assert.equal(graph.nodes[problem.rows[i]?.createdRank ?? -1]?.name, producer, name);
  });
  assert.deepEqual(
    [...(stateMs ?? [])].map(([name]) => name),
    options.map(({ name }) => name),
  );
  // judged in one form or the other it is one plan
  const [one, other] = [
    judge({ ...own, ...(stateMs && { stateMs }) }, []),
    judge({ ...problem, states: placed, ...(stateMs && { stateMs }) }, []),
  ];
  assert.deepEqual(
    [one.peakBytes, one.arenaBytes(), one.hostBytes()],
    [other.peakBytes, other.arenaBytes(), other.hostBytes()],
  );
  assert.ok(Math.abs(one.addedMs - other.addedMs) < 1e-6 && one.addedMs > 0);
});

for (const planner of ["mutwo", "sqrt"])
  test(`planGraph({planner: ${planner}}) has Adam's states on the host only where activations alone do not suffice`, () => {
    const forbidden = { ...problem, constraints: { states: false } };
    const least = planGraph({ ...forbidden, planner, budgetBytes: 1 });
    assert.equal(least.states, undefined);
    const enough = planGraph({ ...problem, planner, budgetBytes: Math.round(1.05 * least.peakBytes) });
    assert.ok(enough.feasible && enough.states === undefined);
    const lower = planGraph({ ...problem, planner, budgetBytes: 1 });
    assert.ok(!lower.feasible && lower.peakBytes < 0.95 * least.peakBytes);
    const budgetBytes = Math.round((lower.peakBytes + least.peakBytes) / 2);
    assert.ok(!planGraph({ ...forbidden, planner, budgetBytes }).feasible);
    const plan = planGraph({ ...problem, planner, budgetBytes });
    assert.ok(plan.feasible && plan.states?.length, `${plan.minimumPeakBytes} of ${budgetBytes}`);
    assert.equal(layout(rewrite(graph, plan.decisions, plan.states)).arenaBytes, plan.peakBytes);
    assert.ok(plan.peakBytes <= budgetBytes && plan.addedMs > 0);
    for (const { why, bytes, swapMs } of plan.states ?? [])
      assert.ok(
        / of a step: (two copies|one copy) of /.test(why) && bytes > 0 && swapMs > 0,
        `${why} ${bytes} ${swapMs}`,
      );
  });
