import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { beginCourse } from "../../src/train/course.js";
import type { FitOptions } from "../../src/train/fit-options.js";
import { loadBest, noteBest, saveCheckpoint } from "../../src/train/keeping.js";
import type { EpochRow } from "../../src/train/log.js";
import { toyData, toyTrainer } from "./toy-trainer.js";

const row = (epoch: number, step: number, loss: number | null): EpochRow => ({
  epoch,
  step,
  samples: 20,
  loss: 1,
  learningRate: 1,
  trainMs: 1,
  validation: { loss },
  validationMs: 1,
});

function course(options: Partial<FitOptions> = {}) {
  const said: string[] = [];
  const trainer = toyTrainer();
  const given: FitOptions = { loss: "mse", epochs: 9, validate: toyData(8), onWarning: (line) => said.push(line) };
  return { ...beginCourse(trainer, toyData(20), { ...given, ...options }), trainer, said };
}

const plan = (folder: string) => ({ folder, everySteps: null, everyEpoch: true, keep: 2 });

const batch = { x: new Float32Array(8).fill(1).map((_, i) => i), target: new Float32Array(4) };

test("noteBest notes an epoch only if it is better, and one that is not finite never", () => {
  const one = course();
  for (const [epoch, loss] of [
    [1, null],
    [2, 3],
    [3, 3],
    [4, 2],
    [5, null],
    [6, 4],
  ] as const)
    noteBest(one, row(epoch, epoch * 5, loss));
  assert.deepEqual(one.log.best, { epoch: 4, step: 20, value: 2 });
  assert.equal(one.bestState, undefined);
});

test("noteBest keeps the state with patience, loadBest puts it back: from memory, or from beside the checkpoints", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "mutwo-keeping-"));
  for (const checkpoints of [undefined, plan(folder)]) {
    const one = course({ patience: 2, ...(checkpoints && { checkpoints }) });
    await one.trainer.step(batch);
    one.log.steps = 1;
    noteBest(one, row(1, 1, 2));
    const best = one.trainer.weights();
    await one.trainer.step(batch);
    assert.notDeepEqual(one.trainer.weights(), best);
    loadBest(one);
    assert.deepEqual([one.trainer.weights(), one.trainer.steps], [best, 1]);
  }
  assert.deepEqual(readdirSync(folder), ["best-000000001.safetensors"]);
});

test("a best state that cannot be written is kept in memory, and that is said", async () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), "mutwo-keeping-")), "a file");
  writeFileSync(file, "");
  const one = course({ patience: 2, checkpoints: plan(file) });
  noteBest(one, row(1, 1, 2));
  assert.equal(one.bestState?.steps, 0);
  saveCheckpoint(one);
  assert.equal(one.said.length, 2);
  assert.match(one.said[0] as string, /^the best state is kept in memory only: cannot write /);
  assert.match(one.said[1] as string, /^no checkpoint after step 0: cannot write .*; there is none$/);
  loadBest(one);
});
