import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { bytesOf, type Value } from "../../src/graph/values.js";
import { readSafetensorsFile, writeSafetensors } from "../../src/model/safetensors.js";
import {
  bestFile,
  type Checkpoint,
  checkpointFile,
  checkpointsIn,
  checkSameTraining,
  findCheckpoint,
  readCheckpoint,
  readCheckpointLog,
  rotate,
  writeCheckpoint,
} from "../../src/train/checkpoint.js";
import { newLog, type TrainingLog } from "../../src/train/log.js";

const fresh = (): string => mkdtempSync(path.join(tmpdir(), "mutwo-checkpoint-"));

const tensors = new Map<string, Value>([
  ["w", { dtype: "float32", shape: [3], data: bytesOf("float32", [1, -2, 3.5]) }],
  ["step", { dtype: "int64", shape: [], data: bytesOf("int64", [7]) }],
]);

const log = (steps: number, more: Partial<TrainingLog> = {}): TrainingLog => ({
  ...newLog({ batchSize: 4, epochSteps: 5, totalSteps: 50, monitor: "loss", memory: "resident" }),
  steps,
  ...more,
});

const checkpoint = (file: string, steps: number, more: Partial<TrainingLog> = {}): Checkpoint => ({
  file,
  state: { steps, learningRate: 0.1, tensors },
  log: log(steps, more),
  settings: { loss: "mse" },
});

test("writeCheckpoint and readCheckpoint are inverse, to the bit; the log is read without the tensors", () => {
  const folder = fresh();
  const written = checkpoint(checkpointFile(folder, 7), 7, {
    partial: { lossSum: 0.1 + 0.2, losses: 3, samples: 12, ms: 1 },
  });
  writeCheckpoint(written);
  const read = readCheckpoint(written.file);
  assert.deepEqual(
    [...read.state.tensors].map(([name, { dtype, shape, data }]) => [name, dtype, shape, [...data]]),
    [...tensors].map(([name, { dtype, shape, data }]) => [name, dtype, shape, [...data]]),
  );
  assert.deepEqual({ ...read, state: { ...read.state, tensors } }, written);
  assert.deepEqual(readCheckpointLog(written.file), written.log);
  assert.deepEqual(readdirSync(folder), ["step-000000007.safetensors"]);
});

test("rotate leaves the newest up to a step, and the best states that they go by", () => {
  const folder = fresh();
  const best = (step: number) => ({ best: { epoch: 1, step, value: 1 } });
  for (const step of [5, 10, 15, 20, 25])
    writeCheckpoint(checkpoint(checkpointFile(folder, step), step, best(step < 20 ? 5 : 20)));
  for (const step of [5, 20]) writeCheckpoint(checkpoint(bestFile(folder, step), step));
  rotate(folder, 20, 2);
  assert.deepEqual(
    checkpointsIn(folder).map((file) => path.basename(file)),
    ["step-000000020.safetensors", "step-000000015.safetensors"],
  );
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name.startsWith("best"))
      .sort(),
    ["best-000000005.safetensors", "best-000000020.safetensors"],
  );
  rotate(folder, 20, 1);
  assert.deepEqual(readdirSync(folder).sort(), ["best-000000020.safetensors", "step-000000020.safetensors"]);
});

test("readCheckpoint says in one line what is wrong with a file", () => {
  const folder = fresh();
  const file = checkpointFile(folder, 7);
  writeCheckpoint(checkpoint(file, 7));
  const bytes = readFileSync(file);
  const { metadata } = readSafetensorsFile(file);
  const text = metadata["mutwo-checkpoint"] as string;
  const rewritten = (change: string): void => writeSafetensors(file, tensors, { "mutwo-checkpoint": change });
  const cases: readonly (readonly [write: () => void, message: string | RegExp])[] = [
    [() => writeSafetensors(file, tensors), `not a checkpoint of a training: ${file}`],
    [() => rewritten("{"), `checkpoint is damaged: ${file}`],
    [() => rewritten("null"), `checkpoint has version undefined, this mutwo reads 1: ${file}`],
    [
      () => rewritten(text.replace('"version":1', '"version":9')),
      `checkpoint has version 9, this mutwo reads 1: ${file}`,
    ],
    [
      () => rewritten(text.replace('"steps":7', '"steps":-7')),
      `checkpoint is damaged: log.steps is -7, not a whole number from 0 on (${file})`,
    ],
    [
      () => rewritten(text.replace(/"sum":\d+/, '"sum":1')),
      `checkpoint is damaged: its tensors are not what was written: ${file}`,
    ],
    [() => writeFileSync(file, ""), `not a safetensors file, or truncated: ${file}`],
    [() => writeFileSync(file, "a text that is no checkpoint at all"), /^not a safetensors file/],
  ];
  for (const [write, message] of cases) {
    write();
    assert.throws(() => readCheckpoint(file), { message });
  }
  // no file that ends early is taken for a whole one
  for (let length = 0; length < bytes.length; length += 7) {
    writeFileSync(file, bytes.subarray(0, length));
    assert.throws(() => readCheckpoint(file), /^Error: [^\n]+$/, `${length} bytes`);
  }
  assert.throws(() => findCheckpoint(path.join(folder, "none.safetensors"), () => {}) ?? assert.fail("none"), /none/);
  // a file where the folder should be has none
  assert.deepEqual(checkpointsIn(file), []);
});

test("a byte that changed anywhere in a checkpoint's tensors is noticed", () => {
  const file = checkpointFile(fresh(), 1);
  writeCheckpoint(checkpoint(file, 1));
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  for (let at = start; at < bytes.length; at++) {
    const spoilt = Buffer.from(bytes);
    spoilt[at] = (spoilt[at] as number) ^ 4;
    writeFileSync(file, spoilt);
    assert.throws(() => readCheckpoint(file), /its tensors are not what was written/);
  }
});

test("checkSameTraining names up to three settings that differ", () => {
  const given = { ...checkpoint("c", 1), settings: { a: "1", b: "2", c: "3", d: "4", long: "x".repeat(99) } };
  checkSameTraining(given, { ...given.settings });
  assert.throws(() => checkSameTraining(given, { a: "0", b: "2", c: "3", d: "4", long: "y".repeat(99) }), {
    message: `checkpoint of another training: a was 1, is 0; long was ${"x".repeat(59)}…, is ${"y".repeat(59)}… (c)`,
  });
  assert.throws(
    () => checkSameTraining(given, { e: "5" }),
    /a was 1, is none; b was 2, is none; c was 3, is none; … \(c\)$/,
  );
});
