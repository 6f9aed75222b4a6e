import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import { best } from "../../../src/plan/planners/best.js";
import { optimal } from "../../../src/plan/planners/optimal.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";
import { outcome } from "../../step.js";

const runtime = openCpu();
after(() => runtime.close());
const effort = { moves: 1200, seed: 1, timeLimitMs: 60_000 };
const problem = { ...resnetProblem(runtime), effort };
const unplanned = layout(problem.graph).arenaBytes;

test("optimal: its plan fits, costs no less than its bound and no more than best's, and computes the same bits", async () => {
  const given = { ...problem, budgetBytes: Math.floor(0.7 * unplanned) };
  const plan = optimal(given);
  assert.ok(plan.feasible);
  assert.equal(plan.peakBytes, layout(rewrite(problem.graph, plan.decisions, plan.states)).arenaBytes);
  assert.ok(plan.peakBytes <= given.budgetBytes);
  const { addedMs, proven } = plan.bound ?? assert.fail("no bound");
  assert.ok(proven && 0 < addedMs && addedMs <= plan.addedMs, `${addedMs} > ${plan.addedMs} ms`);
  const other = best(given);
  assert.ok(!other.feasible || plan.addedMs <= other.addedMs + 1e-9, `${plan.addedMs} > ${other.addedMs} ms`);
  const expected = await outcome(runtime, problem.graph);
  const actual = await outcome(runtime, rewrite(problem.graph, plan.decisions, plan.states));
  for (const [name, bytes] of expected) assert.ok(Buffer.compare(actual.get(name) as Uint8Array, bytes) === 0, name);
});

test("optimal: no bound where no plan fits, and none without a budget", () => {
  const small = optimal({ ...problem, budgetBytes: Math.floor(0.01 * unplanned) });
  assert.deepEqual([small.feasible, small.bound], [false, undefined]);
  const free = optimal({ ...problem, constraints: { maxAddedMs: 1 } });
  assert.deepEqual([free.feasible, free.bound], [true, undefined]);
});
