import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { Batch, Numbers } from "../../src/data/batch.js";
import { elementCount } from "../../src/graph/graph.js";
import { profileModel } from "../../src/run/pipeline.js";
import { openTrainer } from "../../src/train/open-trainer.js";
import type { Trainer, TrainerOptions } from "../../src/train/trainer.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-trainer-"));

after(() => rmSync(folder, { recursive: true }));

const fixture = (name: string): string => at("fixtures", name);

const mlp = fixture("mlp.ts.onnx");

const options: TrainerOptions = { loss: "ce", optimizer: "adamw:lr=1e-2", threads: 1 };

/** A batch of a trainer, another one for each number. */
function batchOf({ batch }: Pick<Trainer, "batch">, seed: number): Batch {
  const entries = batch.map(({ name, shape, limit }): [string, Numbers] => {
    const count = elementCount(shape);
    const numbers = Array.from({ length: count }, (_, i) => Math.sin(seed + 1.3 * i));
    return [
      name,
      limit === undefined
        ? Float32Array.from(numbers)
        : BigInt64Array.from(numbers, (x) => BigInt(Math.floor(((x + 1) / 2.001) * limit))),
    ];
  });
  return Object.fromEntries(entries);
}

async function withTrainer<T>(
  file: string,
  given: TrainerOptions,
  work: (trainer: Trainer) => Promise<T> | T,
): Promise<T> {
  const trainer = await openTrainer(file, given);
  try {
    return await work(trainer);
  } finally {
    trainer.close();
  }
}

const losses = async (trainer: Trainer, from: number, until: number): Promise<number[]> => {
  const list: number[] = [];
  for (let i = from; i < until; i++) list.push((await trainer.step(batchOf(trainer, i))).loss);
  return list;
};

test("openTrainer(…).step trains: the loss of one batch falls, and steps are counted", () =>
  withTrainer(mlp, options, async (trainer) => {
    assert.deepEqual(
      trainer.batch.map(({ name, dtype, shape, isTarget }) => ({ name, dtype, shape, isTarget })),
      [
        { name: "input", dtype: "float32", shape: [16, 100], isTarget: false },
        { name: "target", dtype: "int64", shape: [16], isTarget: true },
      ],
    );
    assert.deepEqual([trainer.batchSize, trainer.run, trainer.steps, trainer.learningRate], [16, null, 0, 0.01]);
    const batch = batchOf(trainer, 1);
    const first = (await trainer.step(batch)).loss;
    for (let i = 0; i < 20; i++) await trainer.step(batch);
    const last = await trainer.step(batch);
    assert.ok(last.loss < 0.85 * first, `${first} → ${last.loss}`);
    assert.ok(last.stepMs > 0);
    assert.equal(trainer.steps, 22);
  }));

test("setLearningRate(x) gives the steps of a trainer that was opened with x; 0 changes no weight but by decay", () =>
  withTrainer(mlp, options, (changed) =>
    withTrainer(mlp, { ...options, optimizer: "adamw:lr=3e-4" }, async (opened) => {
      changed.setLearningRate(3e-4);
      assert.deepEqual(await losses(changed, 0, 4), await losses(opened, 0, 4));
      changed.setLearningRate(0);
      const before = changed.state().tensors.get("mod.0.weight")?.data as Uint8Array;
      await losses(changed, 4, 6);
      assert.deepEqual(changed.state().tensors.get("mod.0.weight")?.data, before);
      for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY])
        assert.throws(() => changed.setLearningRate(wrong), /^Error: learning rate is not a finite number from 0 on/);
    }),
  ));

test("load goes on from a state, of an object or a file, with the same bits", () =>
  withTrainer(mlp, options, async (trainer) => {
    await losses(trainer, 0, 3);
    trainer.setLearningRate(2e-3);
    const state = trainer.state();
    const file = path.join(folder, "state.safetensors");
    trainer.saveState(file);
    const expected = await losses(trainer, 3, 6);
    for (const from of [state, file])
      await withTrainer(mlp, options, async (other) => {
        other.load(from);
        assert.deepEqual([other.steps, other.learningRate], [3, 2e-3]);
        assert.deepEqual(await losses(other, 3, 6), expected);
      });
  }));

test("load goes on with the random numbers that would have come next", () => {
  const settings = { loss: "mse", optimizer: "adam", dims: { batch: 4 }, threads: 1 };
  const file = fixture("dropout_block.onnx");
  return withTrainer(file, settings, async (trainer) => {
    const start = trainer.state();
    const all = await losses(trainer, 0, 3);
    const state = trainer.state();
    all.push(...(await losses(trainer, 3, 6)));
    trainer.load(state);
    assert.deepEqual(await losses(trainer, 3, 6), all.slice(3));
    trainer.load(start);
    assert.deepEqual(await losses(trainer, 0, 3), all.slice(0, 3));
    const { output } = await trainer.evaluate(batchOf(trainer, 0));
    assert.deepEqual((await trainer.evaluate(batchOf(trainer, 0))).output, output);
    await withTrainer(file, settings, async (other) => {
      other.load(state);
      assert.deepEqual(await losses(other, 3, 6), all.slice(3));
    });
  });
});

test("load refuses a state of something else, and has changed nothing then", () =>
  withTrainer(mlp, options, async (trainer) => {
    const state = trainer.state();
    const without = new Map(state.tensors);
    without.delete("mod.0.bias");
    const bias = state.tensors.get("mod.0.bias") as NonNullable<ReturnType<typeof without.get>>;
    const cases: readonly [object, RegExp][] = [
      [{ ...state, tensors: without }, /^Error: the state lacks mod\.0\.bias$/],
      [{ ...state, tensors: new Map([...state.tensors, ["other", bias]]) }, /holds what this training has not: other$/],
      [
        { ...state, tensors: new Map([...state.tensors, ["mod.0.bias", { ...bias, shape: [50, 2] }]]) },
        /^Error: shape mismatch: mod\.0\.bias of the state is float32\[50,2\], here float32\[100\]$/,
      ],
      [{ ...state, steps: -1 }, /steps of a state are not a whole number: -1/],
    ];
    for (const [wrong, message] of cases) assert.throws(() => trainer.load(wrong as typeof state), message);
    assert.throws(() => trainer.load(path.join(folder, "none.safetensors")), /cannot read safetensors: .*ENOENT/);
    assert.throws(() => trainer.load(fixture("mlp.safetensors")), /^Error: not a state of a trainer: /);
    assert.deepEqual(trainer.state(), state);
  }));

test("what is wrong with a batch is said in one line before anything is changed", () =>
  withTrainer(mlp, options, async (trainer) => {
    const good = batchOf(trainer, 0);
    const labels = new BigInt64Array(16);
    labels[5] = 100n;
    const cases: readonly [unknown, RegExp][] = [
      [
        { input: good.input },
        /^Error: the batch lacks target: a step takes input float32\[16,100\], target int64\[16\]$/,
      ],
      [
        { tensors: good, samples: 16 },
        /^Error: the batch lacks input: of what batchesOf gives, pass its tensors \(batch\.tensors\)$/,
      ],
      [{ ...good, other: [1] }, /^Error: unknown name in the batch: other \(a step takes /],
      [
        { ...good, input: new Float32Array(100) },
        /^Error: shape mismatch: input has 100 elements, float32\[16,100\] has 1600$/,
      ],
      [
        { ...good, target: labels },
        /^Error: class number out of range: 100 at \[5\] of target \(whole numbers from 0 to 99\)$/,
      ],
      [{ ...good, target: new Array(16).fill(0.5) }, /class number out of range: 0\.5 at \[0\]/],
      [{ ...good, input: "text" }, /^Error: the batch's input is neither a typed array nor a list of numbers$/],
      [null, /^Error: a batch is no record of arrays/],
    ];
    const before = trainer.state();
    for (const [wrong, message] of cases) await assert.rejects(trainer.step(wrong as Batch), message);
    assert.deepEqual(trainer.state(), before);
    await trainer.step({
      input: Array.from(good.input as Float32Array),
      target: Int32Array.from(good.target as never, Number),
    });
  }));

test("one call at a time; none after close", async () => {
  const trainer = await openTrainer(mlp, options);
  const batch = batchOf(trainer, 0);
  const running = trainer.step(batch);
  const second = trainer.step(batch);
  assert.throws(() => trainer.state(), /a step is still running/);
  await assert.rejects(second, /^Error: a step is still running: await it first$/);
  await running;
  const last = trainer.step(batch);
  trainer.close();
  await last;
  trainer.close();
  await assert.rejects(trainer.step(batch), /^Error: the trainer is closed: /);
  assert.throws(() => trainer.setLearningRate(1), /the trainer is closed/);
});

test("two trainers in one process do not meet", async () => {
  const alone = await withTrainer(mlp, options, (trainer) => losses(trainer, 0, 4));
  await withTrainer(mlp, options, (one) =>
    withTrainer(mlp, options, async (other) => {
      const made: number[][] = [[], []];
      for (let i = 0; i < 4; i++) {
        const both = await Promise.all([one, other].map((trainer) => trainer.step(batchOf(trainer, i))));
        both.forEach(({ loss }, which) => {
          made[which]?.push(loss);
        });
      }
      assert.deepEqual(made, [alone, alone]);
    }),
  );
});

test("a budget is kept: the planned trainer takes less, and gives the same losses; its run's plan can be taken again", async () => {
  const file = fixture("resnet_basic.ts.onnx");
  const settings = { loss: "ce", optimizer: "sgd:lr=0.1", dims: {}, threads: 1, iterations: 1, warmups: 0 };
  const plain = await withTrainer(file, settings, async (trainer) => ({
    losses: await losses(trainer, 0, 3),
    bytes: trainer.allocatedBytes,
  }));
  const planned = await withTrainer(file, { ...settings, budget: "92%" }, async (trainer) => {
    assert.equal(trainer.allocatedBytes, trainer.run?.plan?.peakBytes);
    return { losses: await losses(trainer, 0, 3), bytes: trainer.allocatedBytes, run: trainer.run };
  });
  assert.ok(planned.bytes <= 0.92 * plain.bytes, `${plain.bytes} → ${planned.bytes}`);
  assert.deepEqual(planned.losses, plain.losses);
  const run = planned.run ?? undefined;
  const saved = path.join(folder, "run.json");
  writeFileSync(saved, JSON.stringify(run));
  for (const from of [run, saved]) {
    const again = await withTrainer(file, { ...settings, run: from }, async (trainer) => {
      assert.equal(trainer.allocatedBytes, planned.bytes);
      assert.equal(trainer.run?.id, run?.id);
      return losses(trainer, 0, 3);
    });
    assert.deepEqual(again, plain.losses);
  }
  await assert.rejects(
    openTrainer(file, { ...settings, optimizer: "adam", run }),
    /^Error: the run .* is of another step: its node .* is not the same/,
  );
  await assert.rejects(openTrainer(mlp, { ...settings, run }), /^Error: the model has changed since the run /);
  await assert.rejects(openTrainer(file, { ...settings, run, budget: "80%" }), /^Error: give a run, .* not both$/);
  await assert.rejects(
    openTrainer(file, { ...settings, budget: "20%" }),
    /^Error: infeasible budget: .* least reachable/,
  );
});

test("a trainer whose optimizer's states are on the host between updates gives the same losses, states and files", async () => {
  const file = fixture("bert_tiny.ts.onnx");
  const settings = { loss: "ce", optimizer: "adam:lr=0.01", dims: {}, threads: 1, iterations: 1, warmups: 0 };
  const hosted = { ...settings, budget: "1001000B", hostMemory: "1GiB", planner: "sqrt", keep: ["*"] };
  const made = async (trainer: Trainer, name: string) => {
    const [saved, model] = [path.join(folder, `${name}.state`), path.join(folder, `${name}.onnx`)];
    const first = await losses(trainer, 0, 3);
    trainer.saveState(saved);
    trainer.save(model);
    const next = await losses(trainer, 3, 5);
    trainer.load(saved);
    assert.deepEqual(await losses(trainer, 3, 5), next);
    return { first, next, saved: readFileSync(saved), model: readFileSync(model) };
  };
  const plain = await withTrainer(file, settings, (trainer) => made(trainer, "plain"));
  const planned = await withTrainer(file, hosted, async (trainer) => {
    assert.ok(trainer.run?.plan?.states?.some(({ state }) => /\.[mv]$/.test(state)));
    assert.ok(trainer.allocatedBytes <= 1_001_000);
    return { ...(await made(trainer, "hosted")), run: trainer.run };
  });
  const { run, ...same } = planned;
  assert.deepEqual(same, plain);
  await withTrainer(file, { ...settings, run: run ?? undefined }, async (trainer) => {
    assert.ok(trainer.allocatedBytes <= 1_001_000);
    assert.deepEqual(await losses(trainer, 0, 3), plain.first);
  });
});

test("the plan of a run of profileModel, whose learning rate is a constant, is taken too, at another rate", async () => {
  const file = fixture("resnet_basic.ts.onnx");
  const settings = { loss: "ce", dims: {}, threads: 1, iterations: 1, warmups: 0 };
  const run = await profileModel(file, { ...settings, optimizer: "adamw:lr=0.1", budget: "95%" });
  await withTrainer(file, { ...settings, optimizer: "adamw:lr=1e-3", run }, async (trainer) => {
    assert.equal(trainer.learningRate, 1e-3);
    // the rates are tensors here
    assert.ok(trainer.allocatedBytes <= (run.plan?.peakBytes ?? 0) + 256);
    assert.ok(Number.isFinite((await trainer.step(batchOf(trainer, 0))).loss));
  });
});

test("accumulation takes all micro-batches at once", () =>
  withTrainer(mlp, { ...options, accumulate: 2 }, async (trainer) => {
    assert.deepEqual(
      trainer.batch.map(({ shape }) => shape),
      [[32, 100], [32]],
    );
    assert.equal(trainer.batchSize, 32);
    assert.deepEqual(trainer.outputs, [{ name: "output", dtype: "float32", shape: [32, 100] }]);
    const batch = batchOf(trainer, 0);
    const { output } = await trainer.evaluate({ input: batch.input as Numbers });
    assert.equal(output?.data.length, 3200);
    const first = (await trainer.step(batch)).loss;
    for (let i = 0; i < 8; i++) await trainer.step(batch);
    assert.ok((await trainer.step(batch)).loss < first);
  }));

test("openTrainer refuses what cannot be trained on, and wrong options, in one line", async () => {
  const replayed = { loss: "ce", optimizer: "adam", backend: `replay:${at("recordings", "gpt2_tiny.recording")}` };
  await assert.rejects(
    openTrainer(mlp, replayed),
    /^Error: nothing can be trained on backend replay: use cpu or cuda$/,
  );
  await assert.rejects(openTrainer(mlp, { ...options, optimiser: "adam" } as never), /unknown option: optimiser/);
  await assert.rejects(openTrainer(path.join(folder, "none.onnx"), options), /cannot read model: /);
});
