import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { savedActivations } from "../../src/memory/activations.js";
import { readModel } from "../../src/model/read.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { compare } from "../../src/run/compare.js";
import { openCpu } from "../../src/runtime/cpu.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import { initialValues, seededGraph } from "../../src/step/initial.js";
import { lowerFor } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";

const runtime = openCpu();

after(() => runtime.close());

const step = trainingStep(readModel("test/fixtures/mlp.ts.onnx", { runtime }).graph, { loss: "mse", optimizer: "sgd" });

const baseline = seededGraph(lowerFor(runtime, step), 0);

const values = initialValues(baseline, step, 0);

const first = [...savedActivations(baseline).keys()].slice(0, 1);

/** The baseline with one scalar constant changed, so that its update differs. */
function disturbed(): Graph {
  const constant = [...baseline.tensors.values()].find(
    ({ category, data, dtype }) => category === "constant" && dtype === "float32" && data?.length === 4,
  );
  assert.ok(constant);
  const tensors = new Map(baseline.tensors);
  tensors.set(constant.name, { ...tensorOf(baseline, constant.name), data: bytesOf("float32", [0.5]) });
  return { ...baseline, tensors };
}

test("compare(graph, planned) finds a planned step equal bit by bit, and times both as often", async () => {
  const planned = rewrite(
    baseline,
    first.map((activation) => ({ activation, action: "recompute" as const })),
  );
  const { equality, paired } = await compare(baseline, planned, { runtime, values });
  assert.deepEqual([equality.different, equality.bitwise, equality.worstRelativeError], [[], true, 0]);
  const parameters = [...step.tensors.values()].filter((t) => t.category === "parameter" && t.within).length;
  assert.equal(equality.compared, 2 * (1 + parameters + baseline.state.length));
  assert.equal(paired?.unplanned.samplesMs.length, paired?.planned.samplesMs.length);
  assert.ok((paired?.planned.samplesMs.length ?? 0) > 1);
});

test("compare(graph, planned) names what differs, with the step in which it does", async () => {
  const { equality } = await compare(baseline, disturbed(), { runtime, values });
  assert.equal(equality.bitwise, false);
  assert.ok((equality.worstRelativeError ?? Number.NaN) > 1e-6);
  assert.ok(equality.different.length > 0);
  for (const name of equality.different) assert.match(name, / in step [12]$/);
});

test("compare(graph, planned) counts a difference against that of two runs where kernels vary", async () => {
  const device = { ...runtime.device, settings: { deterministic: "no" } };
  const varying: Runtime = { ...runtime, device };
  const { equality } = await compare(baseline, disturbed(), { runtime: varying, values });
  assert.equal(equality.runToRun, 0);
  assert.ok(equality.different.length > 0);
});

test("compare(graph, planned) times nothing where both steps do not fit at once", async () => {
  const small: Runtime = { ...runtime, freeBytes: () => 1024 };
  const { equality, paired } = await compare(baseline, baseline, { runtime: small, values });
  assert.equal(paired, null);
  assert.equal(equality.bitwise, true);
});
