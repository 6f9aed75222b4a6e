import assert from "node:assert/strict";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { checkpointsIn, findCheckpoint, readCheckpoint } from "../../src/train/checkpoint.js";
import { pointsOf } from "../../src/train/curve.js";
import { fit } from "../../src/train/fit.js";
import type { FitOptions } from "../../src/train/fit-options.js";
import type { TrainingLog } from "../../src/train/log.js";
import { toyData, toyTrainer } from "./toy-trainer.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-fit-"));
let made = 0;
const fresh = (): string => path.join(folder, `checkpoints-${made++}`);

const plan = (place: string, more: object = {}) => ({
  folder: place,
  everySteps: null,
  everyEpoch: true,
  keep: 3,
  ...more,
});

const loss = { loss: "mse" } as const;

/** What of a log does not depend on time. */
const numbers = ({ steps, epoch, batch, curves, epochs, best, end }: TrainingLog) => ({
  steps,
  epoch,
  batch,
  loss: curves.loss,
  rates: curves.learningRate,
  epochs: epochs.map(({ trainMs, validationMs, ...row }) => row),
  best,
  end,
});

test("fit(trainer, data, {epochs}) trains each whole batch once an epoch, and says each step", async () => {
  const seen: number[] = [];
  const log = await fit(toyTrainer(), toyData(22), { ...loss, epochs: 3, onStep: ({ step }) => seen.push(step) });
  assert.deepEqual(
    seen,
    Array.from({ length: 15 }, (_, i) => i + 1),
  );
  assert.deepEqual(
    log.epochs.map(({ epoch, step, samples }) => [epoch, step, samples]),
    [
      [1, 5, 20],
      [2, 10, 20],
      [3, 15, 20],
    ],
  );
  assert.deepEqual(log.end, { reason: "finished", text: "3 epochs done" });
  const { values } = pointsOf(log.curves.loss);
  assert.ok((values.at(-1) as number) < (values[0] as number) / 10, "it learns");
  const [first] = log.epochs;
  assert.equal(first?.loss, values.slice(0, 5).reduce((a, z) => a + z, 0) / 5);
});

test("fit({steps}) ends in the middle of an epoch with a row of it; {last: pad} takes the rest too", async () => {
  const log = await fit(toyTrainer(), toyData(22), { ...loss, steps: 7, validate: toyData(8) });
  assert.deepEqual(log.end, { reason: "steps", text: "7 steps done" });
  assert.deepEqual(
    log.epochs.map(({ step, samples }) => [step, samples]),
    [
      [5, 20],
      [7, 8],
    ],
  );
  const padded = await fit(toyTrainer(), toyData(22), { ...loss, epochs: 1, last: "pad" });
  assert.deepEqual([padded.steps, padded.epochs[0]?.samples], [6, 22]);
});

test("fit sets the schedule's rate of each step", async () => {
  const rates: number[] = [];
  const options: FitOptions = {
    ...loss,
    epochs: 2,
    schedule: "linear:warmup=4",
    onStep: (news) => rates.push(news.learningRate),
  };
  await fit(toyTrainer(), toyData(20), options);
  const expected = [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6].map((share) => 0.05 * share);
  for (const [i, rate] of rates.entries()) assert.ok(Math.abs(rate - (expected[i] as number)) < 1e-12, `step ${i}`);
});

test("fit validates after each epoch over all samples, of a padded batch those that count", async () => {
  const trainer = toyTrainer();
  const log = await fit(trainer, toyData(20), { ...loss, epochs: 1, validate: toyData(7) });
  const [a = 0, b = 0] = trainer.weights();
  const held = toyData(7);
  const x = held.read("x", [0, 1, 2, 3, 4, 5, 6]) as Float32Array;
  const y = held.read("target", [0, 1, 2, 3, 4, 5, 6]) as Float32Array;
  let sum = 0;
  for (let i = 0; i < 7; i++)
    sum += (Math.fround(a * (x[2 * i] as number) + b * (x[2 * i + 1] as number)) - (y[i] as number)) ** 2;
  const validation = log.epochs[0]?.validation ?? {};
  assert.ok(Math.abs((validation.loss as number) - sum / 7) < 1e-6);
  assert.deepEqual(Object.keys(validation), ["loss", "mae", "mse"]);
});

test("fit ends at a loss that is not finite, with the step and the first node, and writes no checkpoint of it", async () => {
  const place = fresh();
  const log = await fit(toyTrainer({ notFinite: 7 }), toyData(20), { ...loss, epochs: 3, checkpoints: plan(place) });
  assert.deepEqual(log.end, {
    reason: "not finite",
    text: "the loss of step 7 is NaN: y (MatMul, forward) makes y not finite",
  });
  assert.deepEqual(
    checkpointsIn(place).map((file) => path.basename(file)),
    ["step-000000005.safetensors"],
  );
});

test("fit says of a step that fails which it is and where to go on", async () => {
  const place = fresh();
  await assert.rejects(fit(toyTrainer({ broken: 12 }), toyData(20), { ...loss, epochs: 3, checkpoints: plan(place) }), {
    message: `step 12: the device is gone; the newest checkpoint is ${path.join(place, "step-000000010.safetensors")}`,
  });
});

test("fit with patience ends when the validation no longer improves, and puts back the best state", async () => {
  const place = fresh();
  const trainer = toyTrainer();
  // the rate grows until it diverges
  const options: FitOptions = {
    ...loss,
    epochs: 60,
    patience: 3,
    validate: toyData(8),
    schedule: "exponential:every=5,gamma=1.6",
  };
  const log = await fit(trainer, toyData(20), { ...options, checkpoints: plan(place) });
  assert.equal(log.end?.reason, "patience");
  const values = log.epochs.map(({ validation }) => validation?.loss as number);
  const best = values.indexOf(Math.min(...values)) + 1;
  assert.deepEqual([log.best?.epoch, log.epochs.length], [best, best + 3]);
  assert.equal(
    log.end?.text,
    `ended after epoch ${best + 3}: loss has not improved for 3 epochs; the best was epoch ${best}`,
  );
  assert.equal(trainer.steps, best * 5);
  const inMemory = toyTrainer();
  await fit(inMemory, toyData(20), options);
  assert.deepEqual(inMemory.weights(), trainer.weights());
  // one that ended so goes on only with more patience
  const resume = findCheckpoint(place, assert.fail) as NonNullable<ReturnType<typeof findCheckpoint>>;
  const again = await fit(toyTrainer(), toyData(20), { ...options, checkpoints: plan(place), resume });
  assert.deepEqual(numbers(again), numbers(log));
});

for (const [name, every] of [
  ["each epoch", { everyEpoch: true }],
  ["every 3 steps", { everyEpoch: false, everySteps: 3 }],
] as const)
  test(`fit resumed from any checkpoint (${name}) has the same numbers to the bit`, async () => {
    const options: FitOptions = { ...loss, epochs: 4, validate: toyData(6), schedule: "cosine:warmup=3", seed: 5 };
    const undisturbed = toyTrainer();
    const whole = await fit(undisturbed, toyData(22), options);
    const place = fresh();
    await fit(toyTrainer(), toyData(22), { ...options, checkpoints: plan(place, { ...every, keep: 99 }) });
    const files = checkpointsIn(place);
    assert.ok(files.length >= 4);
    for (const file of files) {
      const trainer = toyTrainer();
      const log = await fit(trainer, toyData(22), { ...options, resume: readCheckpoint(file) });
      assert.deepEqual(trainer.weights(), undisturbed.weights(), file);
      assert.deepEqual(numbers(log), numbers(whole), file);
    }
  });

test("fit interrupted at any step, and while validating, goes on to the same numbers", async () => {
  const options: FitOptions = { ...loss, epochs: 3, validate: toyData(6) };
  const undisturbed = toyTrainer();
  const whole = await fit(undisturbed, toyData(22), options);
  for (let at = 1; at <= 15; at++) {
    const place = fresh();
    const stop = new AbortController();
    const onStep: FitOptions["onStep"] = ({ step }) => step === at && stop.abort();
    const first = await fit(toyTrainer(), toyData(22), {
      ...options,
      checkpoints: plan(place),
      signal: stop.signal,
      onStep,
    });
    assert.deepEqual(first.end, { reason: "interrupted", text: `interrupted after step ${at}` });
    const trainer = toyTrainer();
    const resume = findCheckpoint(place, assert.fail) as NonNullable<ReturnType<typeof findCheckpoint>>;
    assert.equal(resume.log.steps, at);
    const log = await fit(trainer, toyData(22), { ...options, checkpoints: plan(place), resume });
    assert.deepEqual(trainer.weights(), undisturbed.weights());
    assert.deepEqual(numbers(log), numbers(whole));
    assert.equal(log.stretches.length, 2);
  }
});

test("fit keeps so many checkpoints, and the best states that they go by", async () => {
  const place = fresh();
  const options: FitOptions = { ...loss, epochs: 8, patience: 8, validate: toyData(8) };
  await fit(toyTrainer(), toyData(20), { ...options, checkpoints: plan(place, { keep: 2 }) });
  const names = readdirSync(place).sort();
  assert.deepEqual(
    names.filter((name) => name.startsWith("step")),
    ["step-000000035.safetensors", "step-000000040.safetensors"],
  );
  const bests = names.filter((name) => name.startsWith("best"));
  assert.ok(bests.length >= 1 && bests.length <= 2, names.join());
});

test("fit goes on where a checkpoint cannot be written, says so, and the old one stays", async () => {
  const place = fresh();
  const said: string[] = [];
  let isBlocked = false;
  const onStep: FitOptions["onStep"] = ({ step }) => {
    if (step !== 7) return;
    // as root a folder's mode bars nothing: a file in its place does
    cpSync(place, `${place}-old`, { recursive: true });
    rmSync(place, { recursive: true });
    writeFileSync(place, "");
    isBlocked = true;
  };
  const log = await fit(toyTrainer(), toyData(20), {
    ...loss,
    epochs: 2,
    checkpoints: plan(place),
    onStep,
    onWarning: (line) => said.push(line),
  });
  assert.ok(isBlocked);
  assert.equal(log.steps, 10);
  assert.equal(said.length, 1);
  assert.match(
    said[0] as string,
    /^no checkpoint after step 10: cannot write .*step-000000010.*; the newest is .*step-000000005/,
  );
  assert.deepEqual(readdirSync(`${place}-old`), ["step-000000005.safetensors"]);
  assert.deepEqual(log.warnings, said);
});

test("fit refuses a checkpoint of another training, naming the difference", async () => {
  const place = fresh();
  await fit(toyTrainer(), toyData(20), {
    ...loss,
    epochs: 2,
    checkpoints: plan(place),
    settings: { optimizer: "sgd" },
  });
  const [file = ""] = checkpointsIn(place);
  const resume = readCheckpoint(file);
  const attempt = (options: Partial<FitOptions>, data = toyData(20)) =>
    fit(toyTrainer(), data, { ...loss, epochs: 2, settings: { optimizer: "sgd" }, ...options, resume });
  await assert.rejects(attempt({ settings: { optimizer: "adam" } }), {
    message: `checkpoint of another training: optimizer was sgd, is adam (${file})`,
  });
  await assert.rejects(attempt({ seed: 3 }), { message: `checkpoint of another training: seed was 0, is 3 (${file})` });
  await assert.rejects(attempt({}, toyData(21)), /data was toy.npz, 20 samples .* is toy.npz, 21 samples/);
  await assert.rejects(
    attempt({ schedule: "linear", epochs: 3 }),
    /schedule was constant:warmup=0, is linear:warmup=0,total=15/,
  );
  // more epochs of a constant rate are no other training
  assert.equal((await attempt({ epochs: 3 })).steps, 15);
});

test("fit says before the first step what does not fit", async () => {
  const run = (options: FitOptions, data = toyData(20)) =>
    fit(toyTrainer({ broken: 1 }), data, { ...loss, ...options });
  await assert.rejects(run({}), { message: "how long to train is not said: pass epochs or steps" });
  await assert.rejects(run({ epochs: 1, patience: 1 }), {
    message: "patience of 1 epochs, and nothing is validated: pass validate",
  });
  await assert.rejects(run({ epochs: 1 }, toyData(3)), {
    message: "data has fewer samples than a step takes: 3 of 4 in toy.npz (bind a smaller batch, or pass --last pad)",
  });
  await assert.rejects(run({ epochs: 1 }, toyData(0)), { message: "data has no samples: toy.npz" });
  await assert.rejects(run({ epochs: 1, validate: toyData(0, "held.npz") }), {
    message: "validation data has no samples: held.npz",
  });
  await assert.rejects(run({ epochs: 1, validate: toyData(8), monitor: "accuracy" }), {
    message: "monitor is not among the metrics: accuracy (one of loss, mae, mse)",
  });
  await assert.rejects(run({ epochs: 1, schedule: "cos" }), /^Error: unknown schedule: cos/);
});

test("findCheckpoint skips broken files with a line, and says where all are broken", async () => {
  const place = fresh();
  await fit(toyTrainer(), toyData(20), { ...loss, epochs: 4, checkpoints: plan(place) });
  const [newest = "", next = "", oldest = ""] = checkpointsIn(place);
  truncateSync(newest, readFileSync(newest).length - 3);
  const spoilt = readFileSync(next);
  spoilt[spoilt.length - 1] = (spoilt.at(-1) as number) ^ 1;
  writeFileSync(next, spoilt);
  const said: string[] = [];
  assert.equal(findCheckpoint(place, (line) => said.push(line))?.file, oldest);
  assert.match(said[0] as string, /^skipped: safetensors entry outside the file: .*/);
  assert.equal(said[1], `skipped: checkpoint is damaged: its tensors are not what was written: ${next}`);
  for (const file of [newest, next]) assert.throws(() => findCheckpoint(file, assert.fail));
  writeFileSync(oldest, "");
  assert.throws(() => findCheckpoint(place, () => {}), {
    message: `no whole checkpoint: ${place} (none of 3 can be read)`,
  });
  assert.equal(findCheckpoint(fresh(), assert.fail), undefined);
  chmodSync(place, 0o755);
  assert.ok(existsSync(place));
});
