import assert from "node:assert/strict";
import { test } from "node:test";
import { adviceSummary } from "../../src/commands/advice-summary.js";
import { adviseRun, worthTrying } from "../../src/run/advise.js";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";
import { profiled, resnet, unplanned } from "../rule-cases.js";

test("adviseRun(run) on the CPU measures: promised beside what came of it", async () => {
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), {
    ...{ loss: "mse", optimizer: "adamw", iterations: 1, warmups: 0, threads: 1 },
  });
  const { own, trials, notes } = await adviseRun(run, { count: 1 });
  assert.deepEqual([own.peakBasis, own.stepBasis, notes], ["measured", "measured", []]);
  const [trial] = trials;
  assert.equal(trial?.finding.flags, "--optimizer sgd:momentum=0");
  assert.equal(trial?.outcome?.peakBasis, "measured");
  assert.equal(trial?.outcome?.stepBasis, "measured");
  const promised = trial?.finding.gainBytes ?? 0;
  assert.ok(Math.abs((trial?.gainBytes ?? 0) - promised) < 0.1 * own.peakBytes);
  assert.match(
    adviceSummary(run, { own, trials, notes }),
    /promised .*came of it[\s\S]*KiB less \(estimated\)[\s\S]*\(measured\)/,
  );
});

test("adviseRun(run) of a replayed run builds and plans: nothing is called measured but what was recorded", async () => {
  const run = { ...unplanned(resnet), model: { ...resnet.model, path: at("fixtures", resnet.model.file) } };
  const { own, trials, notes } = await adviseRun(run, { count: 2 });
  assert.equal(own.peakBytes, run.before.arenaBytes);
  assert.match(notes[0] ?? "", /replayed/);
  assert.equal(trials.length, 2);
  for (const { outcome, gainBytes, finding } of trials) {
    assert.ok(outcome && (outcome.peakBasis === "built" || outcome.peakBasis === "planned"));
    assert.ok(outcome.stepBasis === "estimated" || outcome.stepBasis === "predicted");
    assert.ok(gainBytes !== null && finding.gainBytes !== undefined);
    assert.ok(Math.abs(gainBytes - finding.gainBytes) < 0.15 * own.peakBytes, finding.flags);
  }
});

test("adviseRun(run) without the model file only plans, and says why the rest was not tried", async () => {
  const run = { ...unplanned(resnet), model: { ...resnet.model, path: "no such.onnx" } };
  const { trials, notes } = await adviseRun(run, { count: 2 });
  assert.match(notes[0] ?? "", /cannot read model: no such\.onnx .*only plans/);
  const byFlags = new Map(trials.map((trial) => [trial.finding.rule, trial]));
  assert.equal(byFlags.get("idle-swap")?.outcome?.peakBasis, "planned");
  assert.match(byFlags.get("micro-batches")?.problem ?? "", /not tried: the model file is needed/);
  assert.match(adviceSummary(run, { own: trials[0]?.outcome ?? assert.fail(), trials, notes }), /not tried/);
});

test("worthTrying(run): what promises something, each change once; nothing of tables", () => {
  const flags = worthTrying(resnet, 10).map((one) => one.flags);
  assert.ok(flags.includes("without a plan"));
  assert.equal(new Set(flags).size, flags.length);
  assert.deepEqual(worthTrying(profiled(resnet, { backend: "tables" })), []);
});

test("adviseRun(run) ends when its signal says so", async () => {
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), {
    ...{ loss: "mse", optimizer: "adamw", iterations: 1, warmups: 0 },
  });
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(adviseRun(run, { signal }), /enough/);
});
