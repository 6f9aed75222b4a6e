import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { writeSafetensors } from "../../src/model/safetensors.js";
import { checkpointsIn } from "../../src/train/checkpoint.js";
import { trainModel, wrongTogether } from "../../src/train/train.js";
import { checkpointFolder, type TrainModelOptions } from "../../src/train/train-courses.js";
import { endOf } from "../../src/train/training.js";
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

const several = (name: string, more: Partial<TrainModelOptions> = {}): TrainModelOptions => ({
  ...options(name),
  optimizer: "adamw",
  copies: 3,
  vary: ["lr=1e-3,1e-1,1e-2"],
  out: path.join(folder, name, "mlp.onnx"),
  ...more,
});

const digest = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

/** What the models of a training came to: losses of all epochs, and the digests of what was written. */
const resultsOf = ({ training }: Awaited<ReturnType<typeof trainModel>>) =>
  (training.together?.models ?? []).map(({ name, log, out }) => ({
    name,
    losses: log.epochs.map(({ loss, validation }) => [loss, validation?.loss]),
    model: out === null ? null : digest(out),
  }));

test("trainModel(file, {copies, vary, patience}) trains each model as alone, bit by bit; one that ends early changes no other", async () => {
  const given = { epochs: 6, patience: 1, validate: data, arrange: "side-by-side" } as const;
  const joint = await trainModel(model, several("joint", given));
  const results = resultsOf(joint);
  const ends = joint.training.together?.models.map(({ log }) => [log.end?.reason, log.epochs.length]);
  assert.ok(new Set(ends?.map(([, epochs]) => epochs)).size > 1, JSON.stringify(ends));
  for (const [i, lr] of ["1e-3", "1e-1", "1e-2"].entries()) {
    const { copies: _, vary: _vary, arrange: _arrange, ...one } = several(`alone${i}`, given);
    mkdirSync(path.dirname(one.out));
    const { training } = await trainModel(model, { ...one, seed: i, optimizer: `adamw:lr=${lr}` });
    const { losses, model: bytes } = results[i] as (typeof results)[number];
    assert.deepEqual(
      losses,
      training.log.epochs.map(({ loss, validation }) => [loss, validation?.loss]),
    );
    assert.equal(bytes, digest(one.out));
    assert.deepEqual(training.settings, { ...joint.training.settings, optimizer: `adamw:lr=${lr}` });
  }
  const { together, log, out } = joint.training;
  const best = [...(together?.models ?? [])].sort((a, z) => (a.log.best?.value ?? 0) - (z.log.best?.value ?? 0))[0];
  assert.deepEqual([together?.best, log, out], [best?.name, best?.log, best?.out]);
});

for (const arrange of ["side-by-side", "fused"] as const)
  test(`several models, ${arrange}: the best state of one that ends is no other's; what was interrupted goes on to the same bits`, async () => {
    const given = { epochs: 4, arrange, checkpointEvery: "2,epoch" };
    const whole = resultsOf(await trainModel(model, several(`whole ${arrange}`, given)));
    const early = await trainModel(
      model,
      several(`early ${arrange}`, { ...given, patience: 1, validate: data, keepCheckpoints: 1 }),
    );
    for (const [i, { log }] of (early.training.together?.models ?? []).entries())
      assert.deepEqual(
        log.epochs.map(({ loss }) => loss),
        whole[i]?.losses.slice(0, log.epochs.length).map(([loss]) => loss),
      );
    const stop = new AbortController();
    const name = `stopped ${arrange}`;
    const first = await trainModel(
      model,
      several(name, {
        ...given,
        signal: stop.signal,
        onStep: ({ step }, one) => step === 5 && one?.name === "m1" && stop.abort(),
      }),
    );
    assert.equal(endOf(first.training)?.reason, "interrupted");
    assert.match(first.training.goOn ?? "", / --resume .* --copies 3 /);
    // one has an older checkpoint than the others, one none
    const checkpoints = checkpointFolder(several(name));
    for (const file of checkpointsIn(path.join(checkpoints, "m1")).slice(0, 1)) rmSync(file);
    rmSync(path.join(checkpoints, "m2"), { recursive: true });
    const said: string[] = [];
    const resumed = await trainModel(
      model,
      several(name, { ...given, resume: "", onWarning: (line) => said.push(line) }),
    );
    assert.match(said.join("\n"), /^goes on after step 5: .*\ngoes on after step 4: .*\nno checkpoint to go on from: /);
    assert.deepEqual(resultsOf(resumed), whole);
  });

test("a checkpoint of one of several models is one of that model alone", async () => {
  const given = { epochs: 2, arrange: "side-by-side", checkpointEvery: "3" } as const;
  const whole = resultsOf(await trainModel(model, several("parts", given)));
  const [file] = checkpointsIn(path.join(checkpointFolder(several("parts")), "m1")).slice(-1);
  const { training } = await trainModel(
    model,
    options("part", { ...given, arrange: undefined, seed: 1, optimizer: "adamw:lr=1e-1", resume: file } as never),
  );
  assert.deepEqual(
    training.log.epochs.map(({ loss }) => loss),
    whole[1]?.losses.map(([loss]) => loss),
  );
  assert.equal(digest(training.out ?? ""), whole[1]?.model);
});

test("one of several models whose loss is not finite is left out, and said; the others go on", async () => {
  const said: string[] = [];
  const { training } = await trainModel(
    model,
    several("lost", { vary: ["lr=1e-3,1e30"], copies: 2, onWarning: (line) => said.push(line) }),
  );
  const [one, other] = training.together?.models ?? [];
  assert.deepEqual(
    [one?.log.end?.reason, other?.log.end?.reason, other?.out, training.together?.best],
    ["finished", "not finite", null, "m0"],
  );
  assert.match(said.join("; "), /^m1: the loss of step \d is \S+: /);
  assert.equal(endOf(training)?.text, "1 models: 2 epochs done; 1 not finite");
});

test("trainModel refuses what does not fit several models, a line each", async () => {
  const wrong = (more: Partial<TrainModelOptions>, message: RegExp) =>
    assert.rejects(trainModel(model, several("x", more)), { message });
  await wrong({ vary: ["epochs=1,2"] }, /^cannot vary epochs: /);
  await wrong({ vary: ["lr"] }, /^not a variation: lr /);
  await wrong({ resume: data }, /^a checkpoint is of one model: .*data\.safetensors \(of several pass the folder /);
  await wrong({ arrange: "multiplexed" }, /multiplexed/);
  const inside = path.join(folder, "inside", "m1", "mlp.onnx");
  mkdirSync(path.dirname(inside), { recursive: true });
  copyFileSync(model, inside);
  await assert.rejects(trainModel(inside, several("inside")), {
    message: /^trained model would overwrite what it is made of: .*m1\/mlp\.onnx /,
  });
  await trainModel(model, several("busy", { steps: 3, checkpointEvery: "2" }));
  const [newest = ""] = checkpointsIn(path.join(checkpointFolder(several("busy")), "m1"));
  writeFileSync(newest, "");
  await wrong({ out: several("busy").out }, /^checkpoints of a training that has not ended: .*m1 /);
});
