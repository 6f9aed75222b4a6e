import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import {
  checkpointFolder,
  coursesOf,
  fitOptions,
  lawOf,
  resumed,
  settingsOf,
  type TrainModelOptions,
  trainerOptions,
} from "../../src/train/train-courses.js";
import { at } from "../at.js";

const model = at("fixtures/mlp.ts.onnx");

const options: TrainModelOptions = {
  data: "data.npz",
  loss: "mse",
  optimizer: "adam",
  epochs: 2,
  out: path.join("a", "b.onnx"),
};

test("checkpointFolder is that of the options, else beside the trained model", () => {
  assert.equal(checkpointFolder({ out: "a/b.onnx" }), "a/b.checkpoints");
  assert.equal(checkpointFolder({ out: "a/b" }), "a/b.checkpoints");
  assert.equal(checkpointFolder({ out: "a/b.onnx", checkpoints: "c" }), "c");
});

test("coursesOf(file, {copies, vary}) gives each model its options as if alone, and places of its own", () => {
  assert.deepEqual(coursesOf(model, options), [{ file: model, options }]);
  const courses = coursesOf(model, { ...options, copies: 2, vary: ["lr=1e-3,1e-2"], seed: 4, resume: "c" });
  assert.deepEqual(
    courses.map(({ file, options: own }) => [file, own.optimizer, own.seed, own.out, own.checkpoints, own.resume]),
    [0, 1].map((i) => [
      model,
      `adam:lr=${["1e-3", "1e-2"][i]}`,
      4 + i,
      path.join("a", `m${i}`, "b.onnx"),
      path.join("a", "b.checkpoints", `m${i}`),
      path.join("c", `m${i}`),
    ]),
  );
  assert.ok(courses.every(({ options: own }) => own.copies === undefined && own.vary === undefined));
  assert.throws(
    () => coursesOf(model, { ...options, copies: 2, vary: ["patience=1,2"] }),
    /^Error: cannot vary patience: /,
  );
});

test("settingsOf and lawOf say what decides a training's numbers, and nothing of what is not there", () => {
  assert.deepEqual(settingsOf({ ...options, dims: {}, epochs: 5 }), { loss: "mse", optimizer: "adam" });
  assert.deepEqual(settingsOf({ ...options, dims: { batch: 8 } }), {
    loss: "mse",
    optimizer: "adam",
    dims: "batch = 8",
  });
  assert.deepEqual(lawOf({ ...options, validate: "x", patience: 3 }), {
    schedule: "constant",
    "last samples": "drop",
    monitor: "loss",
    patience: "3 epochs",
  });
});

test("trainerOptions and fitOptions take what is theirs; what is told has the model's name", () => {
  assert.deepEqual(trainerOptions({ ...options, copies: 2, budget: "1GiB" }), {
    loss: "mse",
    optimizer: "adam",
    budget: "1GiB",
  });
  const told: unknown[] = [];
  const label = { name: "m1", varied: { lr: "1" } };
  const { checkpoints, onEpoch, epochs } = fitOptions({ ...options, onEpoch: (_, one) => told.push(one) }, label);
  onEpoch?.({} as never);
  assert.deepEqual(
    [checkpoints, epochs, told],
    [{ folder: path.join("a", "b.checkpoints"), everySteps: null, everyEpoch: true, keep: 3 }, 2, [label]],
  );
});

test("resumed says where nothing is to go on from, and throws where that was asked for by name", () => {
  const said: string[] = [];
  assert.equal(resumed(options), undefined);
  assert.equal(resumed({ ...options, resume: "", onWarning: (line) => said.push(line) }), undefined);
  assert.match(said.join(""), /^no checkpoint to go on from: a\/b\.checkpoints; the training begins$/);
  assert.throws(() => resumed({ ...options, resume: "nowhere" }), /^Error: no checkpoint: nowhere$/);
});
