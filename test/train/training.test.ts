import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import {
  bestOf,
  contradictionIn,
  endOf,
  readTraining,
  resultOf,
  type TrainedTrial,
  type Training,
  trainingFile,
  trainingOf,
} from "../../src/train/training.js";
import { toyTogether, toyTraining } from "./toy-training.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-training-"));
const file = path.join(folder, "training.json");

test("readTraining gives what was written, from the file or its folder", async () => {
  const training = await toyTraining();
  writeFileSync(file, JSON.stringify(training));
  assert.deepEqual(readTraining(file), training);
  assert.deepEqual(readTraining(folder), training);
  assert.equal(trainingFile(folder), file);
  assert.equal(trainingFile(path.join(folder, "run.json")), undefined);
  assert.equal(trainingFile(tmpdir()), undefined);
});

test("readTraining says in one line what is wrong", async () => {
  const training = await toyTraining({ epochs: 1 });
  const problem = (change: object | string): string => {
    writeFileSync(file, typeof change === "string" ? change : JSON.stringify({ ...training, ...change }));
    try {
      readTraining(file);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  const { log } = training;
  assert.equal(problem("{"), `training is not JSON or is truncated: ${file}`);
  assert.equal(problem("null"), `not a mutwo training: ${file}`);
  assert.equal(problem({ format: "mutwo-run" }), `not a mutwo training: ${file}`);
  assert.equal(problem({ version: 2 }), `training has format version 2, this mutwo reads 1: ${file}`);
  assert.equal(problem({ seed: -1 }), `training is damaged: seed is -1, not a whole number from 0 on (${file})`);
  assert.equal(
    problem({ log: { ...log, epochs: [{}] } }),
    `training is damaged: log.epochs[0].epoch is missing (${file})`,
  );
  assert.equal(
    problem({ log: { ...log, memory: { ...log.memory, bytes: [] } } }),
    `training is damaged: memory has more steps than bytes, or fewer (${file})`,
  );
  assert.match(problem({ log: { ...log, steps: 3 } }), /curve loss is longer than the training's 3 steps/);
  assert.throws(() => readTraining(path.join(folder, "none")), /^Error: cannot read training: .*none \(ENOENT\)$/);
});

test("contradictionIn finds a curve whose rest is more than a value's", async () => {
  const { log }: Training = await toyTraining({ epochs: 1 });
  assert.equal(contradictionIn(log), undefined);
  const loss = { ...log.curves.loss, count: 5 };
  assert.equal(contradictionIn({ ...log, curves: { ...log.curves, loss } }), "curve loss has a rest of 5 for 1 steps");
});

test("a training of several models is read and checked with each of them; trainingOf is that of one alone", async () => {
  const training = await toyTogether();
  const { together } = training;
  const models = together?.models as TrainedTrial[];
  writeFileSync(file, JSON.stringify(training));
  assert.deepEqual(readTraining(file), training);
  writeFileSync(file, JSON.stringify({ ...training, together: { models, best: "m7" } }));
  assert.throws(() => readTraining(file), /^Error: training is damaged: the best model is none of them: m7 /);
  writeFileSync(file, JSON.stringify({ ...training, together: { models: [], best: null } }));
  assert.throws(() => readTraining(file), /^Error: training is damaged: together\.models /);
  const own = trainingOf(training, models[0] as TrainedTrial);
  assert.deepEqual(
    [own.together, own.log, own.out, own.id],
    [undefined, models[0]?.log, "m0/trained.onnx", `${training.id}-m0`],
  );
  writeFileSync(file, JSON.stringify(own));
  assert.deepEqual(readTraining(file), own);
});

test("bestOf goes by the validation, else by the last loss, and not at all by losses of different kinds", async () => {
  const models = (await toyTogether()).together?.models as TrainedTrial[];
  assert.equal(bestOf(models)?.name, "m1");
  assert.equal(bestOf(models.slice(2)), undefined);
  assert.equal(bestOf([]), undefined);
  const [one, other] = models as [TrainedTrial, TrainedTrial];
  assert.equal(bestOf([one, { ...other, settings: { loss: "l1" } }]), undefined);
  const without = models.slice(0, 2).map((model) => ({ ...model, log: { ...model.log, best: null } }));
  assert.deepEqual(
    without.map(resultOf),
    without.map(({ log }) => log.epochs.at(-1)?.loss),
  );
  assert.equal(bestOf(without)?.name, "m1");
  const accuracy = [one, other].map((model, i) => ({
    ...model,
    log: { ...model.log, monitor: "accuracy", best: { epoch: 1, step: 1, value: 0.9 - 0.1 * i } },
  }));
  assert.equal(bestOf(accuracy)?.name, "m0");
});

test("endOf several models: interrupted if one is, not finite if all are, else that of those that were trained", async () => {
  const training = await toyTogether();
  const models = training.together?.models as TrainedTrial[];
  const of = (...some: (TrainedTrial | undefined)[]) =>
    endOf({ log: training.log, together: { models: some as TrainedTrial[], best: null } });
  assert.deepEqual(endOf(training), { reason: "finished", text: "2 models; 1 not finite" });
  assert.equal(of(models[1], models[1])?.text, "2 models: 6 epochs done");
  assert.equal(of(models[2])?.reason, "not finite");
  const end = { reason: "interrupted" as const, text: "interrupted after step 3" };
  assert.deepEqual(of(models[0], { ...(models[1] as TrainedTrial), log: { ...training.log, end } }), end);
  assert.equal(endOf({ log: training.log })?.text, "6 epochs done");
});
