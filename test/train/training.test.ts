import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { contradictionIn, readTraining, type Training, trainingFile } from "../../src/train/training.js";
import { toyTraining } from "./toy-training.js";

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
