import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../../src/graph/graph.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import { timeline } from "../../../src/memory/liveness.js";
import type { PlanProblem } from "../../../src/plan/plan.js";
import { turnsOf } from "../../../src/plan/planners/in-turn.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { together } from "../../../src/step/together.js";
import { fixtureStep } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const resnet = fixtureStep(runtime, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam" }, { batch: 16 });
const block = fixtureStep(runtime, "dropout_block.onnx", { loss: "mse", optimizer: "adam" }, { batch: 64 });
const mlp = fixtureStep(runtime, "mlp.ts.onnx", { loss: "ce", optimizer: "sgd" });

const joint = (graphs: readonly Graph[], lanes = 1): Graph =>
  together(
    runtime,
    graphs.map((graph, i) => ({ name: `m${i}`, graph })),
    lanes,
  );

function problemOf(graph: Graph): PlanProblem {
  const nodeMs = graph.nodes.map((_, i) => 1 + (i % 7) / 7);
  const rows = activationRows(graph, nodeMs, { swapMs: (bytes) => bytes / 1e5, swapMeasured: false });
  const effort = { moves: 500, timeLimitMs: 120_000 };
  return { graph, nodeMs, rows, budgetBytes: null, effort, constraints: { states: false } };
}

test("turnsOf(graph) are the steps of a joint graph of one lane, and of no other", () => {
  const turns = turnsOf(joint([mlp, resnet, mlp]))?.all ?? [];
  assert.deepEqual(
    turns.map(({ prefix, first, graph }) => [prefix, first, graph.nodes.length]),
    [
      ["m0/", 0, mlp.nodes.length],
      ["m1/", mlp.nodes.length, resnet.nodes.length],
      ["m2/", mlp.nodes.length + resnet.nodes.length, mlp.nodes.length],
    ],
  );
  assert.equal(turns[0]?.kind, turns[2]?.kind);
  assert.notEqual(turns[0]?.kind, turns[1]?.kind);
  assert.deepEqual([mlp, joint([mlp]), joint([mlp, mlp], 2)].map(turnsOf), [undefined, undefined, undefined]);
});

for (const [planner, step] of [
  ["best", block],
  ["mutwo", resnet],
  ["capuchin", block],
  ["sqrt", block],
] as const)
  test(`planGraph({planner: ${planner}}) plans steps in turn each for itself: as many fit as their residents leave room for`, () => {
    const alone = problemOf(step);
    // what the planner itself reaches, not what another one does
    const least = planGraph({ ...alone, planner, budgetBytes: 1 }).peakBytes;
    const residents = timeline(step).residentBytes;
    const graph = joint(Array.from({ length: 6 }, () => step));
    const budgetBytes = 5 * residents + Math.round(1.08 * least);
    assert.ok(layout(graph).arenaBytes > budgetBytes);
    const plan = planGraph({ ...problemOf(graph), planner, budgetBytes });
    assert.ok(plan.feasible, `${plan.peakBytes} of ${budgetBytes}`);
    assert.ok(plan.peakBytes <= budgetBytes);
    assert.equal(layout(rewrite(graph, plan.decisions, plan.states)).arenaBytes, plan.peakBytes);
    // every step has the decisions of the first
    const of = (prefix: string) => plan.decisions.filter(({ activation }) => activation.startsWith(prefix));
    assert.ok(of("m0/").length > 0);
    assert.deepEqual(
      of("m5/").map(({ activation, action, addedMs }) => [activation.slice(3), action, addedMs]),
      of("m0/").map(({ activation, action, addedMs }) => [activation.slice(3), action, addedMs]),
    );
    const infeasible = planGraph({ ...problemOf(graph), planner, budgetBytes: 5 * residents });
    assert.ok(!infeasible.feasible && infeasible.minimumPeakBytes > 5 * residents);
    assert.ok(infeasible.minimumPeakBytes <= budgetBytes);
  });

test("what may not be recomputed, swapped or evicted is so in every step", () => {
  const graph = joint([resnet, mlp, resnet]);
  const problem = problemOf(graph);
  const budgetBytes = Math.round(0.8 * layout(graph).arenaBytes);
  const keep = problem.rows.map(({ name }) => name).filter((name) => /Relu/.test(name));
  const plan = planGraph({ ...problem, planner: "best", budgetBytes, constraints: { keep, swap: false } });
  assert.ok(plan.feasible && plan.decisions.length > 0);
  assert.deepEqual(
    plan.decisions
      .filter(({ activation, action }) => action !== "recompute" || keep.includes(activation))
      .map(({ activation, action }) => [activation, action]),
    [],
  );
});

test("models that do not fit with all states on the device do with those of some on the host, as few as it takes", () => {
  const small = fixtureStep(runtime, "bert_tiny.ts.onnx", { loss: "ce", optimizer: "adam" });
  const alone = problemOf(small);
  const { constraints: _, ...problem } = problemOf(joint(Array.from({ length: 6 }, () => small)));
  const quick = { ...problem, rows: problem.rows.map((row) => ({ ...row, swapMs: row.memoryBytes / 1e6 })) };
  const residents = timeline(small).residentBytes;
  const least = planGraph({ ...alone, planner: "sqrt", budgetBytes: 1 }).minimumPeakBytes;
  const planned = (budgetBytes: number) => planGraph({ ...quick, planner: "sqrt", budgetBytes });
  const stateOwners = ({ states = [] }: ReturnType<typeof planned>): number =>
    new Set(states.map(({ state }) => state.split("/")[0])).size;
  let before = 0;
  for (const onDevice of [4, 3, 1]) {
    const budgetBytes = onDevice * residents + Math.round(1.05 * least);
    const plan = planned(budgetBytes);
    assert.ok(plan.feasible && plan.peakBytes <= budgetBytes, `${plan.peakBytes} of ${budgetBytes}`);
    assert.equal(layout(rewrite(problem.graph, plan.decisions, plan.states)).arenaBytes, plan.peakBytes);
    assert.ok(stateOwners(plan) >= Math.max(before, 6 - onDevice), `${stateOwners(plan)} of 6 on the host`);
    assert.ok((plan.hostBytes ?? 0) > 0 && plan.addedMs > 0);
    before = stateOwners(plan);
  }
  // less than the states of one model beside the work of another
  const tight = planned(Math.round(1.1 * least));
  assert.ok(tight.feasible && stateOwners(tight) === 6);
  assert.ok(tight.peakBytes < 6 * residents);
  const never = planned(Math.round(0.5 * least));
  assert.ok(!never.feasible && never.minimumPeakBytes <= tight.peakBytes && never.minimumPeakBytes > 0.5 * least);
  const forbidden = { constraints: { swap: false }, planner: "sqrt", budgetBytes: Math.round(1.1 * least) };
  const without = planGraph({ ...quick, ...forbidden });
  assert.ok(!without.feasible && without.states === undefined);
  const room = planGraph({
    ...quick,
    planner: "sqrt",
    budgetBytes: residents + 2 * least,
    constraints: { hostBytes: 1 },
  });
  assert.ok(!room.feasible && !room.states);
});
