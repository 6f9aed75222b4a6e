import assert from "node:assert/strict";
import { test } from "node:test";
import { metricsFor, validate } from "../../src/train/validate.js";
import { toyData, toyTrainer } from "./toy-trainer.js";

test("validate tells each batch, and ends where the signal asks", async () => {
  const told: string[] = [];
  const options = { loss: "mse", onValidation: (done: number, total: number) => void told.push(`${done}/${total}`) };
  const values = await validate(toyTrainer(), toyData(10), options);
  assert.deepEqual(told, ["1/3", "2/3", "3/3"]);
  assert.deepEqual(Object.keys(values ?? {}), ["loss", "mae", "mse"]);
  assert.equal(await validate(toyTrainer(), toyData(10), { ...options, signal: AbortSignal.abort() }), undefined);
});

test("validate gives null for what is not finite", async () => {
  const trainer = toyTrainer();
  const infinite = {
    ...trainer,
    evaluate: async () => ({
      y: { dtype: "float32" as const, shape: [4, 1], data: new Float32Array(4).fill(Number.POSITIVE_INFINITY) },
    }),
  };
  assert.deepEqual(await validate(infinite, toyData(8), { loss: "mse", metrics: ["mae"] }), { loss: null, mae: null });
});

test("metricsFor refuses a metric that does not fit the loss", () =>
  assert.throws(() => metricsFor(toyTrainer(), { loss: "mse", metrics: ["accuracy"] }), {
    message: /^metric accuracy does not fit loss mse/,
  }));
