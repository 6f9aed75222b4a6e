import assert from "node:assert/strict";
import { test } from "node:test";
import { timeline } from "../../src/memory/liveness.js";
import { profileModel } from "../../src/run/pipeline.js";
import { withSteps } from "../../src/run/rebuild.js";
import type { Run } from "../../src/run/run.js";
import type { Together } from "../../src/run/together.js";
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

for (const arrange of ["side-by-side", "fused"] as const)
  test(`withSteps(run, work) builds a joint step again, ${arrange}, on a CPU and in the form of a GPU, and others of its models`, async () => {
    const given = { loss: "ce", optimizer: "adam", dims: { batch: 4 }, copies: 3, vary: ["lr=1e-3,1e-2"], arrange };
    const resnet = at("fixtures/resnet_bottleneck_dynamic.onnx");
    for (const device of [
      { threads: 1, iterations: 1, warmups: 0 },
      { backend: "estimate", deviceSpec: "h100" },
    ]) {
      const run = await profileModel(resnet, { ...given, ...device });
      withSteps(run, (stepWith) => {
        assert.deepEqual(
          stepWith({}).nodes.map(({ name, lane }) => [name, lane]),
          run.graph.nodes.map(({ name, lane }) => [name, lane]),
        );
        const peak = (changed: Parameters<typeof stepWith>[0]) => timeline(stepWith(changed)).peakBytes;
        assert.ok(peak({ optimizer: "sgd:momentum=0" }) < run.before.timeline.peakBytes);
        assert.ok(peak({ dims: { batch: 8 } }) > run.before.timeline.peakBytes);
      });
      const multiplexed = { ...run, together: { ...(run.together as Together), executed: "multiplexed" as const } };
      assert.throws(() => withSteps(multiplexed, () => 0), /^Error: a multiplexed step is not built anew: /);
      const trials = run.together?.trials.map((trial) => ({ ...trial, sha256: "" })) ?? [];
      assert.throws(
        () => withSteps({ ...run, together: { ...(run.together as Together), trials } }, () => 0),
        /^Error: the model has changed since the run: /,
      );
    }
  });

test("withSteps(run, work) of models that differ in a dimension does not give them one size", async () => {
  const resnet = at("fixtures/resnet_bottleneck_dynamic.onnx");
  const device = { backend: "estimate", deviceSpec: "h100" };
  const run = await profileModel(resnet, { loss: "ce", optimizer: "sgd", vary: ["dim.batch=2,4"], ...device });
  withSteps(run, (stepWith) => {
    assert.equal(stepWith({}).nodes.length, run.graph.nodes.length);
    assert.throws(() => stepWith({ dims: { batch: 8 } }), /^Error: models of the run differ in batch: /);
  });
});
