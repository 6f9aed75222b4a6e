import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { runSummary } from "../../src/commands/summary.js";
import { reportHtml } from "../../src/report/report.js";
import type { ProfileModelOptions } from "../../src/run/options.js";
import { profileModel } from "../../src/run/pipeline.js";
import { readRecording } from "../../src/runtime/recording.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(os.tmpdir(), "mutwo-recording-"));

after(() => rmSync(folder, { recursive: true }));

const fixture = (name: string): string => at("fixtures", name);

const recorded = (name: string): string => at("recordings", `${name}.recording`);

const bottleneck: ProfileModelOptions = { loss: "ce", optimizer: "sgd", dims: { batch: 8 }, iterations: 2 };

test("profileModel(record) then replay: the same tables and the same plan, nothing executed", async () => {
  const file = path.join(folder, "bottleneck.recording");
  const model = fixture("resnet_bottleneck_dynamic.onnx");
  const first = await profileModel(model, { ...bottleneck, planner: "recomputeAll", record: file });
  const again = await profileModel(model, { ...bottleneck, planner: "recomputeAll", backend: `replay:${file}` });
  const near = (a: number, z: number): boolean => Math.abs(a - z) <= 1e-4 * Math.max(a, z);
  first.before.nodes.forEach((row, rank) => {
    const other = again.before.nodes[rank];
    assert.equal(other?.name, row.name);
    // samples of an even count: the recording keeps the upper middle one
    assert.ok(other && row.time.samplesMs.some((ms) => near(ms, other.time.medianMs)), row.name);
  });
  assert.deepEqual(again.before.timeline, first.before.timeline);
  assert.deepEqual(
    again.plan?.decisions.map(({ activation, action }) => [activation, action]),
    first.plan?.decisions.map(({ activation, action }) => [activation, action]),
  );
  assert.equal(again.plan?.peakBytes, first.plan?.peakBytes);
  assert.equal(again.equality, null);
  assert.equal(again.before.allocatedBytes, 0);
  assert.match(runSummary(again), /not executed \(replay\)/);
});

test("profileModel(replay) of a graph that was not measured as a whole simulates its step, and says so", async () => {
  const file = path.join(folder, "whole.recording");
  const model = fixture("resnet_bottleneck_dynamic.onnx");
  await profileModel(model, { ...bottleneck, record: file });
  const run = await profileModel(model, { ...bottleneck, planner: "recomputeAll", backend: `replay:${file}` });
  assert.equal(run.before.simulated, undefined);
  assert.equal(run.after?.simulated, true);
  assert.match(runSummary(run), /simulated/);
  assert.match(reportHtml(run), /simulated/);
});

for (const [name, batch, least] of [
  ["resnet50", 64, 0.3],
  ["bert_base", 32, 0.3],
  ["gpt2_small", 8, 0.3],
] as const)
  test(`recordings/${name}: a real GPU's step, planned without one`, async () => {
    const run = await profileModel(fixture(`full/${name}.onnx`), {
      loss: "ce",
      optimizer: "adam:lr=1e-4",
      dims: { batch },
      backend: `replay:${recorded(name)}`,
      budget: "75%",
    });
    const { before, plan } = run;
    assert.equal(before.simulated, undefined);
    assert.ok(before.memory && before.eagerStep && before.copies);
    // every node is there, and together they take as long as the whole captured step
    assert.ok(
      Math.abs(before.nodesMs / before.step.medianMs - 1) < 0.03,
      `${before.nodesMs} of ${before.step.medianMs}`,
    );
    assert.ok(plan?.feasible && plan.addedMs < least * before.step.medianMs);
    assert.match(reportHtml(run), /captured|launched by the host/);
  });

test("readRecording(FILE) says what is wrong in one line", () => {
  const file = path.join(folder, "broken");
  assert.throws(() => readRecording(path.join(folder, "none")), /^Error: cannot read recording: .*ENOENT/);
  writeFileSync(file, "no recording");
  assert.throws(() => readRecording(file), /^Error: not a recording, or truncated: .*broken$/);
  writeFileSync(file, readFileSync(recorded("resnet50")).subarray(0, 1000));
  assert.throws(() => readRecording(file), /truncated/);
});

test("profileModel(replay of another model) names what the recording lacks", async () => {
  await assert.rejects(
    profileModel(fixture("mlp.ts.onnx"), { loss: "mse", optimizer: "sgd", backend: `replay:${recorded("resnet50")}` }),
    /^Error: (not in the recording|no kernel): [^\n]+$/,
  );
});

test("readRecording(file) says where a recording is not what it should be", () => {
  const good = JSON.parse(gunzipSync(readFileSync(at("recordings/resnet_bottleneck.recording"))).toString());
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), "mutwo-damaged-")), "damaged.recording");
  const refuses = (changed: object, problem: RegExp): void => {
    writeFileSync(file, gzipSync(JSON.stringify({ ...good, ...changed })));
    assert.throws(() => readRecording(file), problem);
  };
  refuses({ device: null }, /^Error: recording is damaged: device is null, not an object \(/);
  refuses({ nodes: { a: [-1, 0] } }, /^Error: recording is damaged: nodes\.a\[0\] is -1, not a number from 0 on \(/);
  refuses({ nodes: { a: [1] } }, /^Error: recording is damaged: nodes\.a/);
  refuses({ steps: { a: {} } }, /^Error: recording is damaged: steps\.a\.nodeMs is missing \(/);
  refuses({ version: "__proto__" }, /^Error: recording has version "__proto__", this mutwo reads 1: /);
});
