import assert from "node:assert/strict";
import { test } from "node:test";
import { timeline } from "../../src/memory/liveness.js";
import { withSteps } from "../../src/run/rebuild.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

for (const [name, file] of [
  ["gpt2-h100", "gpt2_tiny.dynamo.onnx"],
  ["mlp-cpu", "mlp.ts.onnx"],
] as const)
  test(`withSteps(run, work) builds the run's own step again, and others of its model: ${name}`, () => {
    const run = goldenRun(name);
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
