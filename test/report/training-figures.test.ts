import assert from "node:assert/strict";
import { test } from "node:test";
import {
  memoryWords,
  trainingLoss,
  trainingMemory,
  trainingMetrics,
  trainingRate,
  trainingSpeed,
} from "../../src/report/training-figures.js";
import { toyData } from "../train/toy-trainer.js";
import { toyTraining } from "../train/toy-training.js";

interface Line {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
  readonly yaxis?: string;
}

const lines = (figure: { readonly data: readonly object[] } | null): Line[] => (figure?.data ?? []) as Line[];

test("trainingLoss draws each step, each epoch's mean and the validation", async () => {
  const training = await toyTraining({ epochs: 3 });
  const [each, mean, held] = lines(trainingLoss(training));
  assert.equal(each?.y.length, 150);
  assert.deepEqual(mean?.x, [50, 100, 150]);
  assert.deepEqual(
    mean?.y,
    training.log.epochs.map(({ loss }) => loss),
  );
  assert.deepEqual(
    held?.y,
    training.log.epochs.map(({ validation }) => validation?.loss),
  );
  const alone = await toyTraining({ epochs: 1, validate: undefined as never });
  assert.equal(lines(trainingLoss(alone)).length, 2);
  assert.equal(trainingMetrics(alone), null);
});

test("trainingMetrics draws each metric; shares and others have axes of their own", async () => {
  const training = await toyTraining({ epochs: 2 });
  assert.deepEqual(
    lines(trainingMetrics(training)).map(({ name, yaxis }) => [name, yaxis]),
    [
      ["mae", undefined],
      ["mse", undefined],
    ],
  );
  const epochs = training.log.epochs.map((row) => ({ ...row, validation: { loss: 1, accuracy: 0.5, perplexity: 9 } }));
  const mixed = { ...training, log: { ...training.log, epochs } };
  assert.deepEqual(
    lines(trainingMetrics(mixed)).map(({ name, yaxis }) => [name, yaxis]),
    [
      ["accuracy", undefined],
      ["perplexity", "y2"],
    ],
  );
});

test("trainingRate and trainingSpeed go over the steps", async () => {
  const training = await toyTraining({ epochs: 1 });
  const [rate] = lines(trainingRate(training));
  assert.deepEqual(rate?.y, training.log.curves.learningRate.values);
  const [alone, whole] = lines(trainingSpeed(training));
  assert.equal(alone?.y[0], (1000 * 4) / 0.01);
  assert.equal(whole?.y[3], (1000 * 4) / (training.log.curves.wallMs.values[3] as number));
});

test("trainingMemory draws what was held beside the plan's bytes, and says whose it is", async () => {
  const training = await toyTraining({ epochs: 1 });
  const names = lines(trainingMemory(training)).map(({ name }) => name);
  assert.deepEqual(names, [
    "resident bytes of the process",
    "the step's values, allocated: 1.00 MiB",
    "the step without a plan: 2.00 MiB",
    "budget: 1.50 MiB",
  ]);
  const step = {
    allocatedBytes: 2 ** 20,
    evaluationBytes: 0,
    unplannedBytes: null,
    plannedBytes: null,
    budgetBytes: null,
  };
  assert.equal(lines(trainingMemory({ ...training, step })).length, 2);
  assert.match(memoryWords({ ...training.log.memory, what: "device" }), /as the driver says/);
  assert.equal(
    trainingMemory({ ...training, log: { ...training.log, memory: { what: "device", steps: [], bytes: [] } } }),
    null,
  );
});

test("figures of a training without a step are left out", async () => {
  const training = await toyTraining({ epochs: 1, validate: toyData(8), signal: AbortSignal.abort() });
  assert.equal(training.log.steps, 0);
  for (const figure of [trainingLoss, trainingRate, trainingSpeed, trainingMetrics])
    assert.equal(figure(training), null);
});
