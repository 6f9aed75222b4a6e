import assert from "node:assert/strict";
import { test } from "node:test";
import { timeline } from "../../src/memory/liveness.js";
import { profileModel } from "../../src/run/pipeline.js";
import { withSteps } from "../../src/run/rebuild.js";
import type { Run } from "../../src/run/run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

/** A run of a model as the CUDA backend would execute it. */
const estimated = (name: string): Promise<Run> =>
  profileModel(at("fixtures", `${name}.onnx`), {
    loss: "ce",
    optimizer: "adam:lr=1e-3",
    backend: "estimate",
    deviceSpec: "h100",
  });

for (const [name, file, runOf] of [
  ["estimated gpt2_tiny", "gpt2_tiny.dynamo.onnx", () => estimated("gpt2_tiny.dynamo")],
  ["estimated resnet_bottleneck", "resnet_bottleneck.ts.onnx", () => estimated("resnet_bottleneck.ts")],
  ["golden mlp-cpu", "mlp.ts.onnx", () => goldenRun("mlp-cpu")],
] as const)
  test(`withSteps(run, work) builds the run's own step again, and others of its model: ${name}`, async () => {
    const run = await runOf();
    withSteps({ ...run, model: { ...run.model, path: at("fixtures", file) } }, (stepWith) => {
      assert.deepEqual(
        stepWith({}).nodes.map((node) => node.name),
        run.graph.nodes.map((node) => node.name),
      );
      const smaller = timeline(stepWith({ optimizer: "sgd:momentum=0" })).peakBytes;
      assert.ok(smaller < run.before.timeline.peakBytes);
      assert.throws(() => stepWith({ freeze: ["none*"] }), /^Error: pattern matches no parameter: none\*/);
    });
  });

test("withSteps(run, work) refuses a model that has changed", () => {
  const run = goldenRun("mlp-cpu");
  const model = { ...run.model, path: at("fixtures/lstm.ts.onnx") };
  assert.throws(() => withSteps({ ...run, model }, () => 0), /^Error: the model has changed since the run: /);
});
