import assert from "node:assert/strict";
import { test } from "node:test";
import { epochLine, newsOf, newsTeller, trainingJson, trainingLines } from "../../src/commands/training-lines.js";
import type { EpochRow } from "../../src/train/log.js";
import { toyData } from "../train/toy-trainer.js";
import { toyTogether, toyTraining } from "../train/toy-training.js";

test("newsOf tells loss, speed and time left", () => {
  const news = {
    step: 3,
    steps: 9,
    epoch: 1,
    epochs: 2,
    loss: 0.123456,
    learningRate: 1,
    stepMs: 1,
    samplesPerSecond: 12345.6,
    leftMs: 5000,
  };
  assert.deepEqual(newsOf(news), { note: "loss 0.1235, 12,346 samples/s", leftMs: 5000 });
  assert.deepEqual(newsOf({ ...news, samplesPerSecond: Math.PI, step: 9 }), {
    note: "loss 0.1235, 3.14 samples/s",
    leftMs: 0,
  });
});

test("epochLine has the epoch's loss, its speed and the validation", () => {
  const row = {
    epoch: 2,
    step: 10,
    samples: 500,
    loss: 0.5,
    learningRate: 1,
    trainMs: 1000,
    validation: { loss: 0.25, accuracy: 0.98765 },
    validationMs: 1,
  };
  assert.equal(epochLine(row, 5), "epoch 2/5: loss 0.5, 500 samples/s; validation: loss 0.25, accuracy 0.9877");
  assert.equal(epochLine({ ...row, validation: null, loss: null }), "epoch 2: loss not finite, 500 samples/s");
});

test("trainingLines and trainingJson say how it ended, what was held, and where things are", async () => {
  const training = await toyTraining({ epochs: 2, patience: 2, validate: toyData(8) });
  const [first = "", memory, validation = "", model, report, ...rest] = trainingLines(
    training,
    "reports/x/report.html",
  );
  assert.match(first, /^training: 2 epochs, 100 steps in .*, .* samples\/s; 2 epochs done$/);
  assert.equal(memory, "memory: 1.00 MiB for the step's values, budget 1.50 MiB");
  assert.match(validation, /^validation: loss \S+, mae \S+, mse \S+; best: epoch \d, loss \S+$/);
  assert.deepEqual([model, report, rest], ["model: trained.onnx", "report: reports/x/report.html", []]);
  const json = trainingJson(training, "reports/x/report.html") as Record<string, unknown>;
  assert.equal(json.training, "reports/x/training.json");
  assert.equal(json.steps, 100);
  assert.equal((trainingJson(training, undefined) as { training: unknown }).training, null);
});

test("newsTeller tells the least and the largest loss of the models that go on", () => {
  const tell = newsTeller();
  const news = { steps: 9, epoch: 1, epochs: 2, learningRate: 1, stepMs: 1, samplesPerSecond: 10, leftMs: 5000 };
  assert.equal(tell({ ...news, step: 1, loss: 2 }).note, "loss 2, 10.0 samples/s");
  assert.equal(tell({ ...news, step: 1, loss: 2 }, { name: "m0", varied: {} }).note, "loss 2 (m0)");
  assert.equal(tell({ ...news, step: 1, loss: 1 }, { name: "m1", varied: {} }).note, "loss 1 (m1) to 2 (m0)");
  tell({ ...news, step: 2, loss: 3 }, { name: "m1", varied: {} });
  assert.deepEqual(tell({ ...news, step: 3, loss: 4 }, { name: "m1", varied: {} }), {
    note: "loss 4 (m1)",
    leftMs: 5000,
  });
});

test("several models have a line each, the best one is said, and JSON has each one's numbers", async () => {
  const training = await toyTogether();
  const [first = "", m0 = "", m1 = "", m2 = "", best = "", ...rest] = trainingLines(training, undefined);
  assert.match(first, /^training: 6 epochs, 300 steps in .*; 2 models; 1 not finite$/);
  assert.match(
    m0,
    /^m0 \(lr=0\.01\): loss \S+; validation: loss \S+, mae \S+, mse \S+; 2 epochs done → m0\/trained\.onnx$/,
  );
  assert.match(m1, /^m1 \(lr=0\.05\): loss .*; 6 epochs done → m1\/trained\.onnx$/);
  assert.equal(m2, "m2 (lr=9): the loss of step 3 is NaN: y (MatMul, forward) makes y not finite");
  assert.match(
    best,
    /^best of 3 models: m1 \(lr=0\.05\), validation loss \S+ after epoch \d; the loss of m2 was not finite$/,
  );
  assert.deepEqual(rest, ["memory: 1.00 MiB for the step's values, budget 1.50 MiB", "model: m1/trained.onnx"]);
  const json = trainingJson(training, undefined) as { models: { name: string; out: string | null; steps: number }[] };
  assert.deepEqual(
    json.models.map(({ name, out, steps }) => [name, out, steps]),
    [
      ["m0", "m0/trained.onnx", 100],
      ["m1", "m1/trained.onnx", 300],
      ["m2", null, 3],
    ],
  );
  assert.equal((json as unknown as { bestModel: string }).bestModel, "m1");
  const label = { name: "m1", varied: { lr: "0.05", seed: "1" } };
  assert.match(
    epochLine({ ...(training.log.epochs[0] as EpochRow) }, 6, label),
    /^m1 \(lr=0\.05, seed=1\): epoch 1\/6: loss /,
  );
});
