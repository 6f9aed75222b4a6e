import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { Batch, Numbers } from "../../src/data/batch.js";
import { elementCount } from "../../src/graph/graph.js";
import { openTrainer } from "../../src/train/open-trainer.js";
import { type NamedTrainer, openTrainers, type TrainersOptions } from "../../src/train/open-trainers.js";
import type { Trainer, TrainerOptions, TrainerState } from "../../src/train/trainer.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-trainers-"));

after(() => rmSync(folder, { recursive: true }));

const mlp = at("fixtures/mlp.ts.onnx");
const dropout = at("fixtures/dropout_block.onnx");

/** A batch of a trainer, another one for each number. */
function batchOf({ batch }: Pick<Trainer, "batch">, seed: number): Batch {
  const entries = batch.map(({ name, shape, limit }): [string, Numbers] => {
    const numbers = Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(seed + 1.3 * i));
    const whole = (x: number): bigint => BigInt(Math.floor(((x + 1) / 2.001) * (limit ?? 1)));
    return [name, limit === undefined ? Float32Array.from(numbers) : BigInt64Array.from(numbers, whole)];
  });
  return Object.fromEntries(entries);
}

/** The batches of a model differ from those of others. */
const own = (index: number, step: number): number => 100 * index + step;

/** Losses of so many steps of all models that are left, by name; `before` is called before each step. */
async function trained(
  models: readonly NamedTrainer[],
  steps: number,
  before: (step: number) => void = () => {},
): Promise<Map<string, number[]>> {
  const losses = new Map(models.map(({ name }) => [name, [] as number[]]));
  const closed = new Set<string>();
  for (const { name, trainer } of models) {
    const close = trainer.close.bind(trainer);
    trainer.close = () => {
      closed.add(name);
      close();
    };
  }
  for (let step = 0; step < steps; step++) {
    before(step);
    const left = models.map((model, i) => ({ ...model, i })).filter(({ name }) => !closed.has(name));
    const outcomes = left.map(({ trainer, i }) => trainer.step(batchOf(trainer, own(i, step))));
    for (const [k, { loss }] of (await Promise.all(outcomes)).entries()) losses.get(left[k]?.name ?? "")?.push(loss);
  }
  return losses;
}

const weightsOf = (trainer: Trainer): Map<string, string> =>
  new Map([...trainer.state().tensors].map(([name, { data }]) => [name, Buffer.from(data).toString("base64")]));

async function alone(file: string, options: TrainerOptions, index: number, steps: number) {
  const trainer = await openTrainer(file, options);
  try {
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) losses.push((await trainer.step(batchOf(trainer, own(index, step)))).loss);
    return { losses, weights: weightsOf(trainer) };
  } finally {
    trainer.close();
  }
}

const options: TrainersOptions = { loss: "ce", optimizer: "adamw", threads: 1, copies: 3, vary: ["lr=1e-3,1e-2"] };

test("openTrainers(file, {copies, vary}) trains each model as openTrainer does alone, side by side bit by bit; one drops out", async () => {
  const models = await openTrainers(mlp, { ...options, arrange: "side-by-side" });
  try {
    assert.deepEqual(
      models.map(({ name, varied, seed }) => [name, varied, seed]),
      [
        ["m0", { lr: "1e-3", seed: "0" }, 0],
        ["m1", { lr: "1e-2", seed: "1" }, 1],
        ["m2", { lr: "1e-3", seed: "2" }, 2],
      ],
    );
    const bytes = models[0]?.trainer.allocatedBytes ?? 0;
    const losses = await trained(models, 6, (step) => {
      if (step === 3) models[1]?.trainer.close();
    });
    assert.ok((models[0]?.trainer.allocatedBytes ?? 0) < bytes);
    for (const [i, { name, trainer, seed }] of models.entries()) {
      const optimizer = `adamw:lr=${i === 1 ? "1e-2" : "1e-3"}`;
      const expected = await alone(mlp, { loss: "ce", optimizer, seed, threads: 1 }, i, i === 1 ? 3 : 6);
      assert.deepEqual(losses.get(name), expected.losses);
      if (i !== 1) assert.deepEqual(weightsOf(trainer), expected.weights);
    }
  } finally {
    for (const { trainer } of models) trainer.close();
  }
});

for (const arrange of ["side-by-side", "fused"] as const)
  test(`models with random numbers, ${arrange}: after one has dropped out the others' numbers do not change`, async () => {
    const given: TrainersOptions = {
      loss: "mse",
      optimizer: "sgd",
      threads: 1,
      copies: 4,
      dims: { batch: 4 },
      arrange,
    };
    const whole = await openTrainers(dropout, given);
    const losses = await trained(whole, 6);
    const weights = whole.map(({ trainer }) => weightsOf(trainer));
    for (const { trainer } of whole) trainer.close();
    const fewer = await openTrainers(dropout, given);
    const left = await trained(fewer, 6, (step) => {
      if (step === 2) fewer[0]?.trainer.close();
      if (step === 4) fewer[2]?.trainer.close();
    });
    for (const i of [1, 3]) {
      assert.deepEqual(left.get(`m${i}`), losses.get(`m${i}`));
      assert.deepEqual(weightsOf(fewer[i]?.trainer as Trainer), weights[i]);
    }
    assert.deepEqual(left.get("m0"), losses.get("m0")?.slice(0, 2));
    for (const { trainer } of fewer) trainer.close();
  });

test("fused models train as alone to 1e-5, with learning rates of their own; a state goes from one to the other", async () => {
  const models = await openTrainers(mlp, { ...options, arrange: "fused" });
  try {
    const losses = await trained(models, 4);
    for (const [i, { name, seed }] of models.entries()) {
      const optimizer = `adamw:lr=${i === 1 ? "1e-2" : "1e-3"}`;
      const expected = await alone(mlp, { loss: "ce", optimizer, seed, threads: 1 }, i, 4);
      for (const [step, loss] of (losses.get(name) ?? []).entries())
        assert.ok(
          Math.abs(loss - (expected.losses[step] ?? 0)) < 1e-5 * loss,
          `${name} ${loss} ${expected.losses[step]}`,
        );
    }
    const [first, , third] = models as [NamedTrainer, NamedTrainer, NamedTrainer];
    third.trainer.load(first.trainer.state());
    assert.deepEqual(weightsOf(third.trainer), weightsOf(first.trainer));
    const batch = batchOf(first.trainer, 7);
    const [a, , c] = await Promise.all(models.map(({ trainer }) => trainer.step(batch)));
    assert.equal(a?.loss, c?.loss);
    const file = path.join(folder, "trained.onnx");
    third.trainer.save(file);
    const again = await openTrainer(file, { loss: "ce", optimizer: "sgd", threads: 1 });
    const evaluated = await again.evaluate(batch);
    assert.deepEqual(evaluated, await third.trainer.evaluate(batch));
    again.close();
  } finally {
    for (const { trainer } of models) trainer.close();
  }
});

test("openTrainers(file, {together, budget}) plans models of several files in one step", async () => {
  const resnet = at("fixtures/resnet_bottleneck_dynamic.onnx");
  const given = { loss: "ce", optimizer: "adam", threads: 1, dims: { batch: 16 }, together: [resnet], moves: 300 };
  const models = await openTrainers(mlp, { ...given, budget: "90%" });
  const step = await openTrainers(mlp, given);
  assert.ok((models[0]?.trainer.allocatedBytes ?? 0) <= 0.9 * (step[0]?.trainer.allocatedBytes ?? 0));
  for (const { trainer } of step) trainer.close();
  const losses = await trained(models, 3);
  for (const [i, file] of [mlp, resnet].entries()) {
    const dims: Record<string, number> = i ? { batch: 16 } : {};
    const expected = await alone(file, { loss: "ce", optimizer: "adam", threads: 1, dims }, i, 3);
    assert.deepEqual(losses.get(`m${i}`), expected.losses);
  }
  for (const { trainer } of models) trainer.close();
});

test("models whose states are on the host while others train: as alone, from a saved state on too, and after one has dropped out", async () => {
  const budget = { ...options, arrange: "side-by-side", budget: "3MB", hostMemory: "1GiB", moves: 300 } as const;
  const models = await openTrainers(mlp, budget);
  const file = path.join(folder, "m0.state.safetensors");
  try {
    assert.ok((models[0]?.trainer.allocatedBytes ?? 0) <= 3e6);
    const losses = await trained(models, 5, (step) => {
      if (step === 2) models[0]?.trainer.saveState(file);
      if (step === 3) models[1]?.trainer.close();
    });
    for (const [i, { name, trainer, seed }] of models.entries()) {
      const optimizer = `adamw:lr=${i === 1 ? "1e-2" : "1e-3"}`;
      const expected = await alone(mlp, { loss: "ce", optimizer, seed, threads: 1 }, i, i === 1 ? 3 : 5);
      assert.deepEqual(losses.get(name), expected.losses);
      if (i !== 1) assert.deepEqual(weightsOf(trainer), expected.weights);
    }
    const again = await openTrainers(mlp, { ...budget, copies: 2 });
    for (const { trainer } of again) trainer.load(file);
    const outcomes = await Promise.all(again.map(({ trainer }) => trainer.step(batchOf(trainer, own(0, 2)))));
    for (const { loss } of outcomes) assert.equal(loss, losses.get("m0")?.[2]);
    for (const { trainer } of again) trainer.close();
  } finally {
    for (const { trainer } of models) trainer.close();
  }
});

test("a model that is behind catches up by steps of its own, and the others wait", async () => {
  const models = await openTrainers(mlp, { ...options, copies: 2, arrange: "fused" });
  const [first, second] = models as [NamedTrainer, NamedTrainer];
  let begun: TrainerState | undefined;
  await trained(models, 4, (step) => {
    if (step === 2) begun = first.trainer.state();
  });
  first.trainer.load(begun as TrainerState);
  let ran = false;
  const ahead = second.trainer.step(batchOf(second.trainer, own(1, 4))).then(({ loss }) => {
    ran = true;
    return loss;
  });
  const losses: number[] = [];
  for (const step of [2, 3]) {
    losses.push((await first.trainer.step(batchOf(first.trainer, own(0, step)))).loss);
    assert.equal(ran, false);
  }
  assert.deepEqual([first.trainer.steps, second.trainer.steps], [4, 4]);
  losses.push((await first.trainer.step(batchOf(first.trainer, own(0, 4)))).loss);
  const whole = await openTrainers(mlp, { ...options, copies: 2, arrange: "fused" });
  const expected = await trained(whole, 5);
  assert.deepEqual(losses, expected.get("m0")?.slice(2));
  assert.equal(await ahead, expected.get("m1")?.[4]);
  assert.deepEqual(weightsOf(second.trainer), weightsOf(whole[1]?.trainer as Trainer));
  for (const { trainer } of [...models, ...whole]) trainer.close();
});

test("models whose fused step is over the budget are trained one after the other where that fits", async () => {
  const options = {
    loss: "ce",
    optimizer: "adamw",
    copies: 2,
    iterations: 1,
    warmups: 1,
    threads: 1,
    moves: 100,
  } as const;
  await assert.rejects(
    openTrainers(mlp, { ...options, budget: "3MiB", arrange: "fused" }),
    /^Error: infeasible budget: /,
  );
  const models = await openTrainers(mlp, { ...options, budget: "3MiB" });
  const losses = await trained(models, 2);
  assert.ok([...losses.values()].flat().every(Number.isFinite));
  for (const { trainer } of models) await trainer.close();
});

test("openTrainers refuses wrong options and what cannot be trained", async () => {
  const wrong = (given: Partial<TrainersOptions>, message: RegExp) =>
    assert.rejects(openTrainers(mlp, { ...options, ...given }), { message });
  await wrong({ vary: ["budget=1GiB"] }, /^cannot vary budget: /);
  await wrong({ arrange: "multiplexed" }, /multiplexed/);
  await wrong({ copies: 0 }, /^copies is not a whole number from 1 to 10000: 0$/);
  await wrong({ budget: "1%" }, /^infeasible budget: /);
});
