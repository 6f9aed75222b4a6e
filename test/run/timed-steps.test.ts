import assert from "node:assert/strict";
import { test } from "node:test";
import { recomputedNodes } from "../../src/graph/names.js";
import { opOf } from "../../src/ops/index.js";
import { planRun } from "../../src/run/replan.js";
import type { Run } from "../../src/run/run.js";
import { swappedBy, type TimedStep, timedSteps } from "../../src/run/timed-steps.js";
import { goldenRun } from "../golden-run.js";

const stepOf = (run: Run, name: string): TimedStep => {
  const step = timedSteps(run).find((one) => one.name === name);
  assert.ok(step, name);
  return step;
};

const near = (a: number, z: number): boolean => Math.abs(a - z) < 1e-9 * Math.max(1, Math.abs(a));

test("timedSteps(run) without a plan is the unplanned step, its nodes one after the other at their median times", () => {
  const run: Run = { ...goldenRun("resnet-h100"), plan: null, after: null };
  const steps = timedSteps(run);
  assert.deepEqual(
    steps.map(({ name, how }) => [name, how]),
    [["unplanned", "times of a recording"]],
  );
  const { totalMs, spans, rows } = steps[0] as TimedStep;
  assert.ok(near(totalMs, run.before.nodesMs));
  rows.forEach((row, rank) => {
    const { beginMs, endMs } = spans[rank] ?? { beginMs: 0, endMs: -1 };
    assert.ok(near(endMs - beginMs, row.time.medianMs), row.name);
  });
});

for (const planner of ["recomputeAll", "swapAll", "mutwo"])
  test(`timedSteps(run) of a plan by ${planner} that was not executed takes the time that the plan predicts`, () => {
    const run = planRun(goldenRun("resnet-h100"), {
      planner,
      swap: true,
      ...(planner === "mutwo" ? { budget: "70%" } : {}),
    });
    const { plan } = run;
    assert.ok(plan);
    const planned = stepOf(run, "planned");
    assert.ok(near(planned.totalMs, run.before.nodesMs + plan.addedMs), `${planned.totalMs}`);
    const isSwapped = plan.decisions.some(({ action }) => action === "swap");
    assert.match(planned.how, /^predicted from times of a recording/);
    assert.equal(/; copies and waits simulated/.test(planned.how), isSwapped);
    assert.ok(planner !== "swapAll" || isSwapped, "nothing is swapped");
  });

test("timedSteps(run) says of each node that a plan added why it is there", () => {
  for (const name of ["resnet-h100", "gpt2-h100", "mlp-cpu"] as const) {
    const { graph, reasons } = stepOf(goldenRun(name), "planned");
    const again = recomputedNodes(graph);
    for (const node of graph.nodes) {
      const why = reasons.get(node.name) ?? [];
      if (opOf(node).swap)
        assert.deepEqual(
          why.map(({ activation }) => activation),
          [swappedBy(node)],
        );
      else if (again.has(node))
        assert.ok(why.length > 0 && why.every(({ action }) => action === "recompute"), node.name);
      else
        assert.ok(
          why.every(({ action }) => action === "swap"),
          node.name,
        );
    }
  }
});

test("timedSteps(run) of an executed plan has its measured times, and says what was estimated, offloaded or does not fit", () => {
  const run = goldenRun("mlp-cpu");
  const planned = stepOf(run, "planned");
  assert.equal(planned.how, "measured times");
  assert.deepEqual(
    planned.rows.map(({ time }) => time),
    run.after?.nodes.map(({ time }) => time),
  );
  const before = { ...run.before, estimated: true as const };
  assert.equal(stepOf({ ...run, before }, "unplanned").how, "estimated times");
  assert.equal(stepOf({ ...run, before, after: null }, "planned").how, "predicted from estimated times");
  const offloaded = { ...run.before, offloaded: { allocatedBytes: 1, step: run.before.step } };
  assert.match(stepOf({ ...run, before: offloaded }, "unplanned").how, /with all activations swapped out/);
  const plan = run.plan && { ...run.plan, feasible: false };
  assert.match(stepOf({ ...run, plan, after: null }, "planned").how, /; does not fit its budget$/);
});
