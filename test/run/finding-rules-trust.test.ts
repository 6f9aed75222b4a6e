import assert from "node:assert/strict";
import { test } from "node:test";
import { inferenceNote } from "../../src/model/bind.js";
import { readModel } from "../../src/model/read.js";
import { trustRules } from "../../src/run/finding-rules-trust.js";
import { untrainedNote, untrainedParameters } from "../../src/run/notes.js";
import type { Run } from "../../src/run/run.js";
import { samplesOf } from "../../src/run/samples.js";
import { at } from "../at.js";
import { gpt2, mlp, profiled, resnet, testRules, timed, unplanned } from "../rule-cases.js";

const paired = (plannedMs: number): Run => ({
  ...mlp,
  plan: mlp.plan && { ...mlp.plan, addedMs: 1 },
  paired: { unplanned: samplesOf([10, 10]), planned: samplesOf([plannedMs, plannedMs]) },
});

const noted = (note: string): Run => ({ ...mlp, model: { ...mlp.model, notes: [note] } });

const different = { ...mlp, equality: mlp.equality && { ...mlp.equality, different: ["mod.0.weight.grad"] } };

const { step } = resnet.before;

testRules(trustRules, {
  "loss-not-finite": {
    fires: profiled(mlp, { losses: [1, null, null] }),
    says: /of 3 losses of the unplanned step number 2/,
    quiet: mlp,
  },
  "loss-rises": { fires: profiled(mlp, { losses: [1, 2] }), says: /from 1\.000 to 2\.000 over 2 steps/, quiet: resnet },
  "equality-differs": { fires: different, says: /1 of 80 tensors differ, .*mod\.0\.weight\.grad/, quiet: mlp },
  "batch-norm-inference": {
    fires: noted(inferenceNote),
    says: /running statistics/,
    quiet: mlp,
  },
  untrained: {
    fires: noted("2 parameters have no path to the loss and stay as they are: a, b"),
    says: /a, b/,
    quiet: mlp,
  },
  "prediction-off": {
    fires: paired(13),
    says: /11\.0 ms predicted, 13\.0 ms measured .*\+18\.2 %/,
    quiet: paired(11.2),
  },
  noisy: {
    fires: profiled(resnet, { step: samplesOf([1, 2, 3, 4]) }),
    says: /2\.50 ms ± 750 µs \(30\.0 %\) over 4 iterations/,
    quiet: resnet,
  },
  "node-sum-off": { fires: profiled(resnet, { nodesMs: 2 * step.medianMs }), says: /\+100\.0 %/, quiet: resnet },
  "allocation-differs": {
    fires: profiled(mlp, { allocatedBytes: 2 * mlp.before.arenaBytes }),
    says: /3\.36 MiB allocated, 1\.68 MiB predicted \(\+1\.68 MiB\)/,
    quiet: mlp,
  },
  replayed: { fires: resnet, says: /recorded on NVIDIA H100/, quiet: mlp },
  estimated: { fires: profiled(unplanned(resnet), { estimated: true }), says: /nothing was executed/, quiet: resnet },
  "simulated-step": { fires: gpt2, says: /the planned step's 334 µs/, quiet: resnet },
  "simulated-copies": { fires: gpt2, says: /35 activations swapped/, quiet: timed(resnet, () => 1) },
});

test("findings: the note on untrained parameters is the one that is looked for", () => {
  const { graph } = readModel(at("fixtures/mlp.ts.onnx"), {});
  const parameters = [...graph.tensors.values()].filter(({ category }) => category === "parameter");
  const { notes } = untrainedParameters(parameters, { ...graph, tensors: new Map() }, []);
  assert.match(notes[0] ?? "", untrainedNote);
});
