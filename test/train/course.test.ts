import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { bestFile, checkpointsIn, readCheckpoint } from "../../src/train/checkpoint.js";
import { beginCourse, stepsOfEpoch } from "../../src/train/course.js";
import { fit } from "../../src/train/fit.js";
import type { FitOptions } from "../../src/train/fit-options.js";
import { toyData, toyTrainer } from "./toy-trainer.js";

test("stepsOfEpoch counts whole batches, with padding the last one too", () => {
  assert.equal(stepsOfEpoch(toyData(22), 4, "drop"), 5);
  assert.equal(stepsOfEpoch(toyData(22), 4, "pad"), 6);
  assert.equal(stepsOfEpoch(toyData(3), 4, "pad"), 1);
  assert.throws(() => stepsOfEpoch(toyData(3), 4, "drop"), /fewer samples than a step takes: 3 of 4/);
});

test("beginCourse of a checkpoint in another folder has the best state with it, or says that it is missing", async () => {
  const [place, other] = [0, 1].map(() => mkdtempSync(path.join(tmpdir(), "mutwo-course-"))) as [string, string];
  const plan = (folder: string) => ({ folder, everySteps: null, everyEpoch: true, keep: 9 });
  const options: FitOptions = { loss: "mse", epochs: 3, patience: 2, validate: toyData(8) };
  await fit(toyTrainer(), toyData(20), { ...options, checkpoints: plan(place) });
  const resume = readCheckpoint(checkpointsIn(place)[0] as string);
  const begin = (folder: string, from = resume) =>
    beginCourse(toyTrainer(), toyData(20), { ...options, resume: from, checkpoints: plan(folder) });
  assert.equal(begin(place).bestState, undefined);
  assert.equal(begin(other).bestState?.steps, resume.log.best?.step);
  const alone = { ...resume, file: path.join(other, path.basename(resume.file)) };
  assert.throws(() => begin(place, alone), {
    message: `the state of the best epoch, ${resume.log.best?.epoch}, is missing beside the checkpoint: ${bestFile(other, resume.log.best?.step as number)} (go on without patience)`,
  });
});
