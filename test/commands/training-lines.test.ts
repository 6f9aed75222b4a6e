import assert from "node:assert/strict";
import { test } from "node:test";
import { epochLine, newsOf, trainingJson, trainingLines } from "../../src/commands/training-lines.js";
import { toyData } from "../train/toy-trainer.js";
import { toyTraining } from "../train/toy-training.js";

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
