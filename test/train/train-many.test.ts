import assert from "node:assert/strict";
import { test } from "node:test";
import { arrayData } from "../../src/data/arrays.js";
import { fit } from "../../src/train/fit.js";
import { openTrainer } from "../../src/train/open-trainer.js";
import { trainMany } from "../../src/train/train-many.js";
import { at } from "../at.js";

const mlp = at("fixtures/mlp.ts.onnx");

const data = arrayData({
  input: { shape: [64, 100], data: Float32Array.from({ length: 6400 }, (_, i) => Math.sin(1.3 * i)) },
  target: { shape: [64], data: Int32Array.from({ length: 64 }, (_, i) => i % 10) },
} as never);

const options = { loss: "ce", optimizer: "adamw", threads: 1, epochs: 3 };

test("trainMany(file, data, {copies}) trains each model as fit does alone; one that is dropped changes no other", async () => {
  const trained = await trainMany(mlp, data, {
    ...options,
    copies: 3,
    arrange: "side-by-side",
    onModelEpoch: (name, { epoch }) => !(name === "m1" && epoch === 1),
  });
  assert.deepEqual(
    trained.map(({ name, seed, dropped, log }) => [name, seed, dropped, log.epochs.length]),
    [
      ["m0", 0, false, 3],
      ["m1", 1, true, 1],
      ["m2", 2, false, 3],
    ],
  );
  for (const { seed, log } of trained) {
    const trainer = await openTrainer(mlp, { loss: "ce", optimizer: "adamw", threads: 1, seed });
    const alone = await fit(trainer, data, { epochs: 3, seed, loss: "ce" });
    trainer.close();
    assert.deepEqual(
      log.epochs.map(({ loss }) => loss),
      alone.epochs.slice(0, log.epochs.length).map(({ loss }) => loss),
    );
  }
});
