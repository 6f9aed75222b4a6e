import assert from "node:assert/strict";
import { test } from "node:test";
import { jointTime } from "../../src/run/joint-time.js";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";

test("jointTime(run) gives each node of a step of one lane its turn", async () => {
  const options = { loss: "ce", optimizer: "sgd", copies: 2, threads: 1, iterations: 2, warmups: 1 };
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), { ...options, arrange: "side-by-side" });
  const { graph, time } = jointTime(run);
  assert.equal(graph.nodes.length, run.before.nodes.length);
  assert.ok(Math.abs(time.totalMs - run.before.nodesMs) < 1e-6 * run.before.nodesMs);
});
