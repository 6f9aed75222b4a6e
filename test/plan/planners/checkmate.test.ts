import assert from "node:assert/strict";
import { after, test } from "node:test";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { peakBytes } from "../../../src/memory/liveness.js";
import { checkmate } from "../../../src/plan/planners/checkmate.js";
import { optimal } from "../../../src/plan/planners/optimal.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";
import { chain } from "../../swaps.js";

const nodeMs = chain.nodes.map((_, i) => 1 + 0.1 * i);
const rows = activationRows(chain, nodeMs, { swapMs: () => 50, swapMeasured: false });
const problem = { graph: chain, nodeMs, rows, effort: { moves: 500, timeLimitMs: 60_000 } };
const peak = peakBytes(chain);

test("checkmate: what it recomputes in a small step fits, and costs what the search finds too", () => {
  const budgetBytes = Math.floor(0.8 * peak);
  const plan = checkmate({ ...problem, budgetBytes });
  assert.deepEqual(
    plan.decisions.map(({ activation, action }) => [activation, action]),
    [["a", "recompute"]],
  );
  assert.ok(plan.feasible && plan.peakBytes <= budgetBytes);
  assert.equal(plan.addedMs, optimal({ ...problem, budgetBytes }).addedMs);
});

test("checkmate: keeps all where that fits, is infeasible where nothing does", () => {
  assert.deepEqual(checkmate({ ...problem, budgetBytes: peak }).decisions, []);
  assert.equal(checkmate({ ...problem, budgetBytes: Math.floor(0.3 * peak) }).feasible, false);
});

test("checkmate: refuses larger steps in one line", () => {
  const runtime = openCpu();
  after(() => runtime.close());
  assert.throws(() => checkmate({ ...resnetProblem(runtime), budgetBytes: 1e6 }), {
    message: /^graph too large for checkmate: \d+ nodes, at most 40 \(use --planner optimal\)$/,
  });
});
