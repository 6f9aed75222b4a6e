import assert from "node:assert/strict";
import { test } from "node:test";
import { ownOptions } from "../../src/run/own-options.js";
import { goldenRun } from "../golden-run.js";

test("ownOptions(run) are those that profile its model again, and plan it again", () => {
  const run = goldenRun("mlp-cpu");
  const { loss, optimizer, dims, freeze } = run.model;
  const model = { loss, optimizer, dims, freeze };
  assert.deepEqual(ownOptions({ ...run, plan: null }), model);
  assert.ok(run.plan);
  const constraints = { keep: ["a"], recompute: false, hostBytes: 5, maxAddedMs: run.before.step.medianMs / 10 };
  assert.deepEqual(ownOptions({ ...run, plan: { ...run.plan, planner: "best", budgetBytes: 9, constraints } }), {
    ...model,
    budget: "9B",
    maxSlowdown: "10%",
    keep: ["a"],
    recompute: false,
    hostMemory: "5B",
  });
});

test("ownOptions(run) are of the device: of a replay the GPU that was recorded, of an estimate the one described", () => {
  const run = { ...goldenRun("resnet-h100"), plan: null };
  assert.equal(ownOptions(run).backend, "cuda");
  const before = { ...run.before, backend: "estimate" } as const;
  for (const [written, spec] of [
    ["--device-spec l4", "l4"],
    ["--device-spec 'my card.json'", "my card.json"],
  ] as const) {
    const { backend, deviceSpec } = ownOptions({
      ...run,
      before,
      command: `mutwo profile m.onnx ${written} --budget 1GiB`,
    });
    assert.deepEqual([backend, deviceSpec], ["estimate", spec]);
  }
});
