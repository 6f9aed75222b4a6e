import assert from "node:assert/strict";
import { test } from "node:test";
import { leastPlan } from "../../src/run/least.js";
import { planRun } from "../../src/run/replan.js";
import { goldenRun } from "../golden-run.js";

test("leastPlan(run, plan) is that of the planner that an infeasible plan names, else the plan itself", () => {
  const run = planRun(goldenRun("gpt2-h100"), { planner: "keepAll", budget: "50%" });
  const { plan } = run;
  assert.ok(plan && !plan.feasible && plan.minimumPlanner !== undefined);
  const least = leastPlan(run, plan);
  assert.deepEqual([least.planner, least.peakBytes], [plan.minimumPlanner, plan.minimumPeakBytes]);
  assert.equal(leastPlan(run, plan), least);
  for (const own of [
    { ...plan, feasible: true },
    { ...plan, minimumPlanner: undefined },
  ])
    assert.equal(leastPlan(run, own), own);
});
