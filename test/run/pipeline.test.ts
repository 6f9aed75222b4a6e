import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-pipeline-"));

after(() => rmSync(folder, { recursive: true }));

const model = at("fixtures/mlp.ts.onnx");

const options = { loss: "mse", optimizer: "adam", iterations: 1, warmups: 0, threads: 1 } as const;

const record = path.join(folder, "a recording");

test("profileModel(file, {planner, record}) profiles, plans, executes and compares, in this order; only the recording is written", async () => {
  const stages: string[] = [];
  const onProgress = (stage: string): void => void (stages.at(-1) === stage || stages.push(stage));
  const run = await profileModel(model, { ...options, planner: "recomputeAll", record, onProgress });
  assert.deepEqual(stages, ["read model", "build step", "profile", "plan", "execute plan", "compare"]);
  assert.equal(run.plan?.planner, "recomputeAll");
  assert.equal(run.after?.arenaBytes, run.plan?.peakBytes);
  assert.deepEqual(run.equality?.different, []);
  assert.ok(run.paired);
  assert.deepEqual(readdirSync(folder), ["a recording"]);
  // the recording answers as the device did, and nothing is compared that was not computed
  const again = await profileModel(model, { ...options, planner: "recomputeAll", backend: `replay:${record}` });
  const planOf = ({ before, plan }: typeof run) => [
    before.arenaBytes,
    plan?.decisions.map((d) => [d.activation, d.action]),
  ];
  assert.deepEqual(planOf(again), planOf(run));
  assert.deepEqual([again.equality, again.paired], [null, null]);
});

test("profileModel(file) without a budget or a planner plans nothing", async () => {
  const { plan, after: executed, equality, command } = await profileModel(model, options);
  assert.deepEqual([plan, executed, equality], [null, null, null]);
  assert.match(command, /^mutwo profile .*mlp\.ts\.onnx --loss mse --optimizer adam /);
});

test("profileModel(file, {budget}) that cannot be met is an answer: nothing is executed", async () => {
  const { plan, after: executed } = await profileModel(model, { ...options, budget: "1%" });
  assert.deepEqual([plan?.feasible, executed], [false, null]);
  assert.ok(plan?.obstacle?.holders.length);
});

test("profileModel(file, {signal}) stops with the signal's reason", async () => {
  const reason = new Error("interrupted (SIGINT)");
  await assert.rejects(profileModel(model, { ...options, signal: AbortSignal.abort(reason) }), reason);
});
