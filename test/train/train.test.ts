import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { writeSafetensors } from "../../src/model/safetensors.js";
import { checkpointsIn } from "../../src/train/checkpoint.js";
import { checkpointFolder, type TrainModelOptions, trainModel, wrongTogether } from "../../src/train/train.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-train-model-"));
const model = at("fixtures/mlp.ts.onnx");
const data = path.join(folder, "data.safetensors");
const numbers = (count: number) => new Uint8Array(Float32Array.from({ length: count }, (_, i) => Math.sin(i)).buffer);

writeSafetensors(
  data,
  new Map(
    ["input", "target"].map((name) => [name, { dtype: "float32" as const, shape: [48, 100], data: numbers(4800) }]),
  ),
);

const options = (name: string, more: Partial<TrainModelOptions> = {}): TrainModelOptions => ({
  data,
  loss: "mse",
  optimizer: "adam",
  epochs: 2,
  threads: 1,
  out: path.join(folder, `${name}.onnx`),
  ...more,
});

test("checkpointFolder is that of the options, else beside the trained model", () => {
  assert.equal(checkpointFolder({ out: "a/b.onnx" }), "a/b.checkpoints");
  assert.equal(checkpointFolder({ out: "a/b" }), "a/b.checkpoints");
  assert.equal(checkpointFolder({ out: "a/b.onnx", checkpoints: "c" }), "c");
});

test("wrongTogether names what options are wrong beside each other, once each", () => {
  const right = options("right");
  assert.deepEqual(wrongTogether(model, right), []);
  const { epochs: _, ...endless } = right;
  assert.deepEqual(wrongTogether(model, endless), [
    "how long to train is not said: none (pass --epochs 5 or --steps 1000)",
  ]);
  assert.deepEqual(wrongTogether(model, { ...right, backend: "replay:x" }), ["training runs on cpu or cuda: replay:x"]);
  assert.match(
    wrongTogether(model, { ...right, metrics: ["accuracy"] }).join("; "),
    /^metric accuracy does not fit loss mse/,
  );
  assert.deepEqual(wrongTogether(model, { ...right, loss: "hinge", metrics: ["accuracy"] }), []);
  for (const out of [model, data])
    assert.match(wrongTogether(model, { ...right, out }).join("; "), /^trained model would overwrite/);
  const broken = checkpointFolder(options("broken"));
  mkdirSync(broken);
  writeFileSync(path.join(broken, "step-000000001.safetensors"), "");
  assert.match(wrongTogether(model, options("broken")).join("; "), /^checkpoints of a training that has not ended: /);
  assert.deepEqual(wrongTogether(model, options("broken", { resume: "" })), []);
});

test("trainModel gives the record of the training; what was interrupted goes on with resume", async () => {
  const stop = new AbortController();
  const first = await trainModel(
    model,
    options("first", { signal: stop.signal, onStep: ({ step }) => step === 2 && stop.abort() }),
  );
  assert.deepEqual([first.training.log.end?.reason, first.training.out, first.run], ["interrupted", null, null]);
  assert.match(first.training.goOn ?? "", / --resume /);
  assert.equal(checkpointsIn(path.join(folder, "first.checkpoints")).length, 1);
  const said: string[] = [];
  const { training } = await trainModel(model, options("first", { resume: "", onWarning: (line) => said.push(line) }));
  assert.match(said[0] as string, /^goes on after step 2: /);
  assert.deepEqual(
    [training.log.steps, training.log.end?.reason, training.out],
    [6, "finished", path.join(folder, "first.onnx")],
  );
  assert.deepEqual(training.data.columns, [
    { name: "input", dtype: "float32", shape: [100] },
    { name: "target", dtype: "float32", shape: [100] },
  ]);
  assert.equal(training.settings.optimizer, "adam");
});

test("trainModel throws all that is wrong with options, and for a folder without a checkpoint", async () => {
  await assert.rejects(trainModel(model, { ...options("x"), seed: -1, epoch: 3 } as never), {
    name: "WrongOptions",
    message: "unknown option: epoch (did you mean epochs?); seed is not a whole number from 0 on: -1",
  });
  await assert.rejects(trainModel(model, options("x", { resume: folder })), { message: `no checkpoint: ${folder}` });
});
