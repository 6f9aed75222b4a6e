import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import type { PlanProblem } from "../../../src/plan/plan.js";
import { freeTime } from "../../../src/plan/planners/capuchin.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

const unplanned = layout(problem.graph).arenaBytes;

const plan = (share: number, bytesPerMs: number, constraints?: PlanProblem["constraints"]) =>
  planGraph({
    ...problem,
    rows: problem.rows.map((row) => ({ ...row, swapMs: row.memoryBytes / bytesPerMs })),
    budgetBytes: Math.floor(share * unplanned),
    planner: "capuchin",
    ...(constraints ? { constraints } : {}),
  });

test("freeTime(row) is what remains between two copies", () => {
  assert.equal(freeTime({ inactiveMs: 10, swapMs: 3 }), 4);
});

test("capuchin: a plan that says it fits does, by the exact arena", () => {
  for (const share of [0.9, 0.75, 0.6, 0.2]) {
    const { feasible, peakBytes, minimumPeakBytes, decisions, states, obstacle } = plan(share, 1e8);
    assert.equal(peakBytes, layout(rewrite(problem.graph, decisions, states)).arenaBytes);
    assert.equal(feasible, peakBytes <= Math.floor(share * unplanned));
    assert.equal(feasible, share > 0.5);
    if (!feasible) assert.deepEqual([peakBytes, Boolean(obstacle)], [minimumPeakBytes, true]);
  }
});

test("capuchin swaps by free time first while copies are hidden, and recomputes where copies are slow", () => {
  const fast = plan(0.9, 1e9);
  assert.ok(fast.decisions.length && fast.decisions.every(({ action }) => action === "swap"));
  const free = fast.decisions.map(({ activation }) => {
    const row = problem.rows.find(({ name }) => name === activation);
    return freeTime({ inactiveMs: row?.inactiveMs ?? 0, swapMs: (row?.memoryBytes ?? 0) / 1e9 });
  });
  assert.deepEqual(
    free,
    [...free].sort((a, z) => z - a),
  );
  assert.ok(free.every((ms) => ms >= 0));
  const slow = plan(0.9, 1e3);
  assert.ok(slow.decisions.length && slow.decisions.every(({ action }) => action === "recompute"));
  for (const { why } of [...fast.decisions, ...slow.decisions]) assert.match(why, /are free/);
  assert.ok(plan(0.7, 1e9, { swap: false }).decisions.every(({ action }) => action === "recompute"));
});
