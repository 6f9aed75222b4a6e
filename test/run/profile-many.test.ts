import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { layout } from "../../src/memory/layout.js";
import { executedGraph } from "../../src/plan/executed.js";
import { profileModel } from "../../src/run/pipeline.js";
import { plannedGraph } from "../../src/run/planned-rows.js";
import { readRun } from "../../src/run/read-run.js";
import { planRun } from "../../src/run/replan.js";
import { loadGraph } from "../../src/run/run.js";
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
    arrange: "side-by-side",
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
  assert.equal(run.together.fits?.limitBytes, Math.floor(0.9 * run.before.arenaBytes));
  assert.equal(side.addedMs, run.plan.addedMs);
});

test("profileModel(file, {arrange: multiplexed}) executes the μ-TWO step within the budget: every model computes what it does alone", async () => {
  const options = { ...quick, loss: "ce", optimizer: "adam", dims: { batch: 16 }, moves: 300, timeLimit: 20 };
  // half of the fused step's peak
  const run = await profileModel(resnet, { ...options, copies: 4, arrange: "multiplexed", budget: "55%" });
  const { plan, after, together } = run;
  assert.ok(plan?.feasible && plan.ring && together);
  assert.ok(after && after.arenaBytes === plan.peakBytes && after.arenaBytes <= (plan.budgetBytes ?? 0));
  // losses are those of the joint step in turn, from the first step on
  assert.deepEqual(after.losses, run.before.losses);
  assert.ok(after.losses.every((loss) => loss !== null));
  assert.deepEqual(run.equality?.different, []);
  const { sameAsAlone } = together;
  assert.ok(sameAsAlone && sameAsAlone.compared > 1000 && (sameAsAlone.worstRelativeError ?? 1) < 1e-5);
  assert.equal(together.executed, "multiplexed");
  const [row, ...others] = together.arranged;
  assert.ok(row);
  assert.deepEqual([row.arrangement, others.length], ["multiplexed", 0]);
  assert.equal(row.predictedMs, (row.unplannedMs ?? 0) + (row.addedMs ?? 0));
  assert.equal(row.plannedPeakBytes, plan.peakBytes);
  assert.notEqual(row.measuredMs, row.predictedMs);
  // every partition was simulated, and of those that fit the fastest is executed
  const rows = together.partitions?.map((one) => ("refused" in one ? assert.fail(one.refused) : one)) ?? [];
  assert.deepEqual(
    rows.map(({ sizes }) => sizes),
    [
      [2, 2],
      [1, 1, 1, 1],
    ],
  );
  const [taken] = rows.filter(({ chosen }) => chosen);
  assert.equal(taken?.peakBytes, plan.peakBytes);
  assert.deepEqual(
    row.subArrays.map(({ length }) => length),
    taken?.sizes,
  );
  assert.ok(rows.every(({ feasible, stepMs }) => !feasible || stepMs >= (taken?.stepMs ?? 0)));
  assert.equal(plannedGraph(run)?.nodes.length, after.nodes.length);
  // another plan of it is one for the same ring
  const again = planRun(run, { budget: "95%", planner: "mutwo" });
  assert.deepEqual(again.plan?.ring, plan.ring);
  assert.ok(again.plan?.feasible);
  const { graph: planned } = executedGraph(loadGraph(again.graph), again.plan);
  assert.equal(layout(planned).arenaBytes, again.plan.peakBytes);
  // the run is read back as it is
  const file = path.join(mkdtempSync(path.join(tmpdir(), "mutwo-many-")), "run.json");
  writeFileSync(file, JSON.stringify(run));
  assert.deepEqual(JSON.parse(JSON.stringify(readRun(file))), JSON.parse(JSON.stringify(run)));
});

test("profileModel(file, {together, budget}) tries all ways, and says of each that does not fit why, and how many models would", async () => {
  const options = { ...quick, loss: "ce", optimizer: "sgd", copies: 3, moves: 200, timeLimit: 20 };
  const run = await profileModel(mlp, { ...options, budget: "1.6MiB" });
  const { together, plan } = run;
  assert.ok(together && plan && !plan.feasible);
  assert.deepEqual([...new Set(together.arranged.map(({ arrangement }) => arrangement))].sort(), [
    "fused",
    "multiplexed",
    "side-by-side",
  ]);
  for (const { why, predictedMs, measuredMs } of together.arranged) {
    assert.match(why ?? "", /^no plan fits the budget, the least that was found is [\d.]+ MiB/);
    assert.deepEqual([predictedMs, measuredMs], [null, null]);
  }
  const turns = together.arranged.find(({ arrangement, lanes }) => arrangement === "side-by-side" && lanes === 1);
  assert.match(turns?.why ?? "", /; at most \d such models? fit$/);
  // what is shown of it is what comes closest
  assert.equal(together.executed, "side-by-side");
  const wide = await profileModel(mlp, { ...options, budget: "100%" });
  assert.ok(wide.together);
  assert.ok(wide.together.arranged.every(({ why }) => why === undefined));
  assert.ok(wide.together.arranged.find(({ arrangement }) => arrangement === "multiplexed")?.measuredMs);
});

test("profileModel(file, {copies, budget}) says how many models fit with and without a plan", async () => {
  const options = { ...quick, loss: "ce", optimizer: "sgd", dims: { batch: 16 } };
  const alone = await profileModel(resnet, options);
  const limitBytes = 2 * alone.before.arenaBytes;
  const planned = { ...options, planner: "mutwo", arrange: "side-by-side", budget: `${limitBytes}B` } as const;
  const run = await profileModel(resnet, { ...planned, copies: 2 });
  const { fits } = run.together ?? {};
  assert.equal(fits?.limitBytes, limitBytes);
  assert.equal(fits.unplanned, 2);
  assert.ok(fits.planned > 3, String(fits.planned));
  // as many as it says do fit, one more does not
  for (const [copies, feasible] of [
    [fits.planned, true],
    [fits.planned + 1, false],
  ] as const) {
    const more = await profileModel(resnet, { ...planned, copies });
    assert.equal(more.plan?.feasible, feasible, `${copies} copies`);
  }
});

test("fused models whose settings differ have their states where each of them looks for it", async () => {
  const options = { ...quick, loss: "ce", optimizer: "adam", copies: 3, vary: ["lr=1e-3,1e-2"], dims: { batch: 8 } };
  const { together } = await profileModel(resnet, { ...options, arrange: "fused" });
  assert.ok(together?.sameAsAlone && (together.sameAsAlone.worstRelativeError ?? 1) < 1e-5);
});

test("with states on the host between their uses more models fit: as many as it says, and no more", async () => {
  const bert = at("fixtures/bert_tiny.ts.onnx");
  const options = { ...quick, loss: "ce", optimizer: "adam", moves: 300, timeLimit: 60, planner: "mutwo" } as const;
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
