import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import { timeline } from "../../../src/memory/liveness.js";
import type { PlanProblem } from "../../../src/plan/plan.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

const unplanned = layout(problem.graph).arenaBytes;

const printed = (budgetBytes: number | null, given: PlanProblem = problem) =>
  planGraph({ ...given, budgetBytes, planner: "mutwo", variant: "printed" });

test("mutwo, printed: its own simulation decides when to stop, the exact arena whether that fits", () => {
  let fits = 0;
  let failed = 0;
  for (const share of [0.95, 0.9, 0.85, 0.8, 0.75, 0.7]) {
    const budget = Math.floor(share * unplanned);
    const plan = printed(budget);
    assert.equal(plan.variant, "printed");
    const planned = rewrite(problem.graph, plan.decisions);
    assert.equal(plan.peakBytes, layout(planned).arenaBytes);
    assert.equal(plan.timelinePeakBytes, timeline(planned).peakBytes);
    assert.equal(plan.feasible, plan.peakBytes <= budget);
    // the last decision is the one with which Algorithm G is content
    assert.ok(plan.printedPeakBytes <= budget, `${share}`);
    plan.feasible ? fits++ : failed++;
    const sum = plan.decisions.reduce((total, { addedMs }) => total + addedMs, 0);
    assert.ok(Math.abs(sum - plan.addedMs) < 1e-6);
    for (const { action, why } of plan.decisions)
      assert.match(why, action === "swap" ? /Algorithm C as printed cost .* \(case [123]/ : /recomputation as printed/);
  }
  assert.ok(fits && failed, `${fits} fit, ${failed} do not`);
});

test("mutwo, printed: nothing is done where all fits; without a budget it says what is missing", () => {
  assert.deepEqual(printed(unplanned).decisions, []);
  assert.throws(() => printed(null), /planner needs a budget/);
});

/** Blocks of a product and a Relu with relu's value saved, as in mutwo.md 14, all tensors of one size but the weights. */
const chain = parseGraph(`graph chain(float32[2] X, parameter float32[2,2] w) => (loss, y) {
  P1 = MatMul(X, w)
  A1 = Relu(P1)
  P2 = MatMul(A1, w)
  A2 = Relu(P2)
  P3 = MatMul(A2, w)
  A3 = Relu(P3)
  P4 = MatMul(A3, w)
  A4 = Relu(P4)
loss:
  loss = ReduceSum<keepdims=0>(A4)
backward:
  dP4 = Mul(A4, loss)
  dA3 = MatMul(dP4, w)
  dP3 = Mul(dA3, A3)
  dA2 = MatMul(dP3, w)
  dP2 = Mul(dA2, A2)
  dA1 = MatMul(dP2, w)
  dP1 = Mul(dA1, A1)
  y = MatMul(dP1, w)
}`);

test("mutwo, printed: takes the golden order by ratio alone, and swaps the longest idle first where copies are free", () => {
  const times: Readonly<Record<string, number>> = { P1: 4, P2: 3, P3: 2, P4: 1 };
  const nodeMs = chain.nodes.map(({ name }) => times[name] ?? 1);
  const planWith = (swapMs: number) => {
    const rows = activationRows(chain, nodeMs, { swapMs: () => swapMs, swapMeasured: false });
    return printed(1, { graph: chain, nodeMs, rows, budgetBytes: null, constraints: { keep: ["loss"] } });
  };
  const dear = planWith(1000);
  assert.deepEqual(
    dear.decisions.map(({ activation, action }) => [activation, action]),
    ["A4", "A3", "A1", "A2"].map((name) => [name, "recompute"]),
  );
  // the last one costs 27 ms as printed: 9 ms, for itself and the two that start from it
  assert.match(dear.decisions[3]?.why ?? "", /27\.0? ?ms|27 ms/);
  const cheap = planWith(0.5);
  assert.deepEqual(
    cheap.decisions.filter(({ action }) => action === "swap").map(({ activation }) => activation),
    ["A1", "A2", "A3"],
  );
  // every node needs more than one byte: all lie in the peak interval, where no copy may begin early
  assert.equal(cheap.decisions[0]?.swap?.prefetch, "dP1");
});
