import assert from "node:assert/strict";
import { test } from "node:test";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";

const mlp = at("fixtures/mlp.ts.onnx");
const resnet = at("fixtures/resnet_bottleneck_dynamic.onnx");
const quick = { iterations: 2, warmups: 1, threads: 1 } as const;

test("profileModel(file, {copies, vary}) trains models in one step, each as alone bit by bit, and says what that brings", async () => {
  const stages: string[] = [];
  const run = await profileModel(mlp, {
    ...quick,
    loss: "ce",
    optimizer: "adam",
    copies: 3,
    arrange: "side-by-side",
    vary: ["lr=1e-4,1e-3"],
    onProgress: (stage) => void (stages.at(-1) === stage || stages.push(stage)),
  });
  const { together } = run;
  assert.ok(together);
  assert.deepEqual(
    together.trials.map(({ name, optimizer, seed }) => [name, optimizer, seed]),
    [
      ["m0", "adam:lr=1e-4", 0],
      ["m1", "adam:lr=1e-3", 1],
      ["m2", "adam:lr=1e-4", 2],
    ],
  );
  assert.deepEqual(
    run.graph.trials?.map(({ name }) => name),
    ["m0", "m1", "m2"],
  );
  assert.equal(run.model.file, "3 × mlp.ts.onnx");
  assert.ok(together.sameAsAlone?.bitwise);
  assert.ok((together.sameAsAlone?.compared ?? 0) > 100);
  assert.ok(together.alone.stepMs > 0 && together.alone.measured === 1);
  const [side] = together.arranged;
  assert.equal(side?.arrangement, "side-by-side");
  assert.equal(side.peakBytes, run.before.arenaBytes);
  assert.equal(side.measuredMs, run.before.step.medianMs);
  assert.match(
    run.command,
    /mlp\.ts\.onnx --loss ce --optimizer adam --copies 3 --vary lr=1e-4,1e-3 --arrange side-by-side /,
  );
  assert.ok(stages.includes("compare with each alone"));
});

test("profileModel(file, {together, budget}) plans different models in one step; the planned step computes the same", async () => {
  const run = await profileModel(mlp, {
    ...quick,
    loss: "ce",
    optimizer: "sgd",
    together: [resnet],
    dims: { batch: 16 },
    budget: "90%",
    moves: 300,
  });
  assert.ok(run.plan?.feasible);
  assert.deepEqual(run.equality?.different, []);
  assert.ok(run.together?.sameAsAlone?.bitwise);
  assert.equal(run.model.file, "mlp.ts.onnx + resnet_bottleneck_dynamic.onnx");
  const [side] = run.together.arranged;
  assert.equal(side?.plannedPeakBytes, run.plan.peakBytes);
  assert.equal(side.measuredMs, run.paired?.planned.medianMs);
  assert.equal(run.together.fits, null);
});

test("profileModel(file, {copies, budget}) says how many models fit with and without a plan", async () => {
  const options = { ...quick, loss: "ce", optimizer: "sgd", dims: { batch: 16 }, moves: 300, timeLimit: 60 };
  const alone = await profileModel(resnet, options);
  const limitBytes = 2 * alone.before.arenaBytes;
  const run = await profileModel(resnet, { ...options, copies: 2, arrange: "side-by-side", budget: `${limitBytes}B` });
  const { fits } = run.together ?? {};
  assert.equal(fits?.limitBytes, limitBytes);
  assert.equal(fits.unplanned, 2);
  assert.ok(fits.planned > 3, String(fits.planned));
  // as many as it says do fit, one more does not
  for (const [copies, feasible] of [
    [fits.planned, true],
    [fits.planned + 1, false],
  ] as const) {
    const more = await profileModel(resnet, { ...options, copies, arrange: "side-by-side", budget: `${limitBytes}B` });
    assert.equal(more.plan?.feasible, feasible, `${copies} copies`);
  }
});

test("with states on the host between their uses more models fit: as many as it says, and no more", async () => {
  const bert = at("fixtures/bert_tiny.ts.onnx");
  const options = { ...quick, loss: "ce", optimizer: "adam", moves: 300, timeLimit: 60, planner: "best" } as const;
  const limitBytes = 1_040_000;
  const profiled = (copies: number, hostMemory?: string) =>
    profileModel(bert, {
      ...options,
      ...(hostMemory && { hostMemory }),
      copies,
      arrange: "side-by-side",
      budget: `${limitBytes}B`,
    });
  const without = await profiled(2);
  const run = await profiled(5, "1GiB");
  const [few, many] = [without.together?.fits?.planned ?? 0, run.together?.fits?.planned ?? 0];
  assert.ok(many > 5 * few, `${many} and ${few}`);
  assert.ok(run.plan?.feasible && run.plan.states?.length);
  assert.deepEqual(run.equality?.different, []);
  assert.ok(run.together?.sameAsAlone?.bitwise);
  assert.ok((await profiled(many, "1GiB")).plan?.feasible);
  const more = await profiled(many + 1, "1GiB");
  assert.equal(more.plan?.feasible, false);
});

test("a model that does not fit the options is named", async () => {
  const options = { ...quick, loss: "ce", optimizer: "sgd", together: [resnet] };
  await assert.rejects(profileModel(mlp, options), {
    message: /^unbound dimension: batch \(pass --dim batch=N\) \(model m1: .*resnet_bottleneck_dynamic\.onnx\)$/,
  });
});
