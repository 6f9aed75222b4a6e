import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Tensor } from "../../src/graph/graph.js";
import { heldNotes, untrainedParameters, uselessPlan, warningsOf, withoutPlanned } from "../../src/run/notes.js";
import { goldenRun } from "../golden-run.js";

const { before, after, equality } = goldenRun("mlp-cpu");

test("warningsOf(before, after, equality) is empty where all is well", () => {
  assert.deepEqual(warningsOf(before, after, equality), []);
  assert.deepEqual(warningsOf(before, null, null), []);
});

test("warningsOf(before, after, equality) says what each warning is about", () => {
  assert.ok(after && equality);
  const offloaded = { allocatedBytes: 2048, step: before.step };
  const warnings = warningsOf(
    { ...before, losses: [1, null, null], offloaded },
    { ...after, losses: [null] },
    { ...equality, different: ["loss in step 1", "loss in step 2"] },
  );
  assert.deepEqual(
    warnings.map(({ about }) => about),
    ["unplanned", "unplanned", "planned", "planned"],
  );
  assert.match(warnings[0]?.text ?? "", /^the unplanned step does not fit into the device: .* \(2\.00 KiB\)/);
  assert.equal(
    warnings[1]?.text,
    "the unplanned step's loss is not finite: of 3 recorded losses number 2 is the first",
  );
  assert.equal(warnings[2]?.text, "the planned step's loss is not finite: of 1 recorded losses number 1 is the first");
  assert.equal(warnings[3]?.text, "2 tensors of the planned step differ from the unplanned one's");
});

test("warningsOf(before, after, equality) says that a step which a GPU executed was compared with nothing, and why", () => {
  assert.ok(after);
  const executed = { ...after, backend: "cuda" } as const;
  const offloaded = { ...before, offloaded: { allocatedBytes: 1, step: before.step } };
  const texts = (one: typeof before) => warningsOf(one, executed, null).map(({ text }) => text);
  assert.match(texts(before)[0] ?? "", /compared with nothing: the device's memory did not suffice/);
  assert.match(texts(offloaded)[1] ?? "", /compared with nothing: the unplanned one does not fit, and the host/);
  assert.deepEqual(warningsOf(before, executed, equality), []);
});

test("withoutPlanned(run) keeps what is about the unplanned step and about the run", () => {
  const run = goldenRun("mlp-cpu");
  const warnings = (["unplanned", "planned", "run"] as const).map((about) => ({ about, text: `${about} step` }));
  assert.deepEqual(
    withoutPlanned({ ...run, warnings }).map(({ about }) => about),
    ["unplanned", "run"],
  );
});

test("untrainedParameters(parameters, step, freeze) tells frozen parameters from those without a path to the loss", () => {
  const parameter = (name: string): Tensor => ({ name, dtype: "float32", shape: [2], category: "parameter" });
  const empty = parseGraph("graph step(float32[2] x) => (y) { y = Relu(x) }");
  const trained = { ...parameter("head"), within: { tensor: "flat", offsetBytes: 0 } };
  const step = { ...empty, tensors: new Map([...empty.tensors, ["head", trained]]) };
  const parameters = ["head", "body.0", "body.1", "body.2", "body.3", "lost"].map(parameter);
  const { notes, untrained } = untrainedParameters(parameters, step, ["body.*"]);
  assert.deepEqual(notes, [
    "4 parameters are frozen: body.0, body.1, body.2, …",
    "1 parameters have no path to the loss and stay as they are: lost",
  ]);
  assert.deepEqual(
    untrained.map(({ name, reason }) => `${name}: ${reason}`),
    ["body.0: frozen", "body.1: frozen", "body.2: frozen", "body.3: frozen", "lost: no path to the loss"],
  );
  assert.deepEqual(untrainedParameters([parameter("head")], step, []), { untrained: [], notes: [] });
});

test("heldNotes(untrained) counts the reasons and names the first tensors", () => {
  const left = (name: string, reason: string) => ({ name, shape: [], reason });
  assert.deepEqual(heldNotes([]), []);
  assert.deepEqual(heldNotes([left("a", "a mask"), left("b", "a single number"), left("c", "a mask")]), [
    "3 float tensors are not trained (2: a mask; 1: a single number): a, b, c",
  ]);
});

test("uselessPlan(profile, plan) says that decisions lower no peak, and nothing of those that do", () => {
  const { before, plan } = goldenRun("mlp-cpu");
  assert.ok(plan?.decisions.length);
  assert.deepEqual(uselessPlan(before, { ...plan, peakBytes: before.arenaBytes - 1 }), []);
  assert.deepEqual(uselessPlan(before, null), []);
  const [warning] = uselessPlan(before, { ...plan, peakBytes: before.arenaBytes });
  assert.match(warning?.text ?? "", /^the plan's \d+ decisions lower no peak: it is .*, and .* unplanned$/);
});
