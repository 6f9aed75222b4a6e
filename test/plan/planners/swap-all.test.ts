import assert from "node:assert/strict";
import { after, test } from "node:test";
import { runSummary } from "../../../src/commands/summary.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import { opOf } from "../../../src/ops/index.js";
import { hiddenSwapMs } from "../../../src/plan/link.js";
import type { PlanProblem } from "../../../src/plan/plan.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { reportHtml } from "../../../src/report/report.js";
import { profileModel } from "../../../src/run/pipeline.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { at } from "../../at.js";
import { fixtureStep } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** A residual network with nodes of 1 ms. */
function problemOf(batch: number, bytesPerMs: number): PlanProblem {
  const graph = fixtureStep(runtime, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam" }, { batch });
  const nodeMs = graph.nodes.map((node) => (opOf(node).view ? 0 : 1));
  const rows = activationRows(graph, nodeMs, { swapMs: (bytes) => bytes / bytesPerMs, swapMeasured: false });
  return { graph, nodeMs, rows, budgetBytes: null };
}

test("planGraph(swapAll): the predicted arena is that of the rewritten graph, added times add up, decisions say why", () => {
  for (const [batch, bytesPerMs, isSlow] of [
    [64, 1e9, false],
    [3, 1e9, false],
    [3, 1e3, true],
  ] as const) {
    const problem = problemOf(batch, bytesPerMs);
    const plan = planGraph({ ...problem, planner: "swapAll" });
    const places = layout(rewrite(problem.graph, plan.decisions));
    assert.equal(plan.peakBytes, places.arenaBytes);
    assert.equal(plan.hostBytes, places.hostBytes);
    assert.ok(plan.feasible && plan.peakBytes < layout(problem.graph).arenaBytes);
    const sum = plan.decisions.reduce((total, { addedMs }) => total + addedMs, 0);
    assert.ok(Math.abs(sum - plan.addedMs) < 1e-9, `${sum} ${plan.addedMs}`);
    // where what hidden copies cost is all, nobody waits
    const swapped = new Set(plan.decisions.map(({ activation }) => activation));
    const hiddenMs = problem.rows.reduce(
      (total, { name, swapMs }) => total + (swapped.has(name) ? hiddenSwapMs(swapMs) : 0),
      0,
    );
    assert.equal(plan.addedMs > hiddenMs + 1e-9, isSlow);
    // some activations of 64 images are larger than 1 MiB, none of 3 images: then all are swapped that ever idle
    const least = batch === 64 ? 2 ** 20 : 1;
    const able = problem.rows.filter(
      (row) => row.memoryBytes >= least && row.lastForwardAccess + 1 < row.firstBackwardAccess,
    );
    assert.ok(able.length > 1);
    assert.deepEqual(
      plan.decisions.map(({ activation }) => activation),
      able.map(({ name }) => name),
    );
    for (const { action, savedBytes, why } of plan.decisions) {
      assert.equal(action, "swap");
      assert.ok(savedBytes >= least);
      assert.match(
        why,
        /are free from \S+ to \S+ for two copies of .* \(simulated\), which cost .*: nodes wait for them, and those beside them take longer/,
      );
    }
    const less = planGraph({ ...problem, budgetBytes: plan.peakBytes - 1, planner: "swapAll" });
    assert.deepEqual([less.feasible, less.peakBytes], [false, plan.peakBytes]);
  }
});

test("profileModel(…, planner swapAll) executes the plan with the same bits; summary and report count swaps", async () => {
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), {
    loss: "mse",
    optimizer: "adam",
    planner: "swapAll",
    iterations: 1,
    warmups: 0,
    threads: 1,
  });
  const { plan, after: executed, equality } = run;
  assert.ok(plan && executed && equality);
  assert.ok(plan.decisions.length > 0 && equality.compared > 0);
  assert.deepEqual(equality.different, []);
  assert.deepEqual([executed.arenaBytes, executed.allocatedBytes], [plan.peakBytes, plan.peakBytes]);
  assert.match(
    runSummary(run),
    new RegExp(
      `plan: ${plan.decisions.length} swapped \\(.* on the host\\), ${plan.kept} kept; .* more \\(copies simulated, beside the nodes\\)`,
    ),
  );
  const html = reportHtml(run);
  assert.match(html, /<b>swap in /);
  assert.match(html, /Swapped ones take .* of host memory/);
});
