import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import type { PlanProblem } from "../../../src/plan/plan.js";
import { best as planner } from "../../../src/plan/planners/best.js";
import { mutwo } from "../../../src/plan/planners/mutwo.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";
import { outcome } from "../../step.js";
import { toyProblem } from "../../toys.js";

const runtime = openCpu();
after(() => runtime.close());
const problem = resnetProblem(runtime);
const unplanned = layout(problem.graph).arenaBytes;
const best = (problem: PlanProblem) => planner({ ...problem, effort: { moves: 4000, seed: 1, timeLimitMs: 60_000 } });

test("best: a plan that says it fits does, and costs no more than μ-TWO's", () => {
  for (const share of [0.9, 0.7]) {
    const budgetBytes = Math.floor(share * unplanned);
    const plan = best({ ...problem, graph: { ...problem.graph }, budgetBytes });
    assert.ok(plan.feasible, `${share}`);
    assert.equal(plan.peakBytes, layout(rewrite(problem.graph, plan.decisions, plan.states)).arenaBytes);
    assert.ok(plan.peakBytes <= budgetBytes);
    const greedy = mutwo({ ...problem, budgetBytes });
    assert.ok(!greedy.feasible || plan.addedMs <= 1.001 * greedy.addedMs, `${plan.addedMs} > ${greedy.addedMs} ms`);
  }
});

test("best: the peak never rises when the budget falls; below the least it is infeasible and says what is in the way", () => {
  let before = Number.POSITIVE_INFINITY;
  for (let share = 1; share > 0.5; share -= 0.04) {
    const plan = best({ ...problem, budgetBytes: Math.floor(share * unplanned) });
    if (!plan.feasible) {
      assert.equal(plan.peakBytes, plan.minimumPeakBytes);
      assert.ok(plan.obstacle?.holders.length);
      break;
    }
    assert.ok(plan.peakBytes <= before, `${share}: ${plan.peakBytes} > ${before}`);
    before = plan.peakBytes;
  }
});

test("best: as the budget falls the peak never rises, and the time never falls, whatever is asked first (10 random steps)", () => {
  let infeasible = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const step = toyProblem(seed, 12);
    const peak = layout(step.graph).arenaBytes;
    const planned = (share: number) =>
      planner({ ...step, budgetBytes: Math.floor(share * peak), effort: { moves: 200, seed: 1, timeLimitMs: 60_000 } });
    planned(0.7);
    const shares = Array.from({ length: 16 }, (_, i) => 1.005 - 0.05 * i);
    const upwards = [...shares].reverse().map(planned).reverse();
    let before = { peakBytes: Number.POSITIVE_INFINITY, addedMs: 0 };
    for (const [i, share] of shares.entries()) {
      const { feasible, peakBytes, addedMs } = planned(share);
      assert.deepEqual([peakBytes, addedMs], [upwards[i]?.peakBytes, upwards[i]?.addedMs], `${seed}, ${share}`);
      if (!feasible) infeasible++;
      if (!feasible) break;
      assert.ok(peakBytes <= before.peakBytes && addedMs >= before.addedMs - 1e-9, `${seed}, ${share}`);
      before = { peakBytes, addedMs };
    }
  }
  assert.ok(infeasible > 0);
});

test("best: each decision says what it frees, and what the plan would be without it", () => {
  const { decisions } = best({ ...problem, budgetBytes: Math.floor(0.7 * unplanned) });
  assert.ok(decisions.length);
  for (const { why } of decisions)
    assert.match(why, /are free for .*: .*; without this the peak is .* and the step .* (faster|slower)$/);
});

test("best: the planned step computes the same bits, held copies and swaps among its decisions", async () => {
  const expected = await outcome(runtime, problem.graph);
  const actions = new Set<string>();
  for (const constraints of [{}, { swap: false }]) {
    const plan = best({ ...problem, constraints, budgetBytes: Math.floor(0.62 * unplanned) });
    for (const { action, held } of plan.decisions) actions.add(held ? "hold" : action);
    const actual = await outcome(runtime, rewrite(problem.graph, plan.decisions, plan.states));
    assert.deepEqual([...actual.keys()], [...expected.keys()]);
    for (const [name, bytes] of expected) assert.ok(Buffer.compare(actual.get(name) as Uint8Array, bytes) === 0, name);
  }
  assert.ok(actions.has("hold") && actions.has("swap"), [...actions].join());
});
