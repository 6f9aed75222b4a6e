import assert from "node:assert/strict";
import { test } from "node:test";
import { reportHtml } from "../../src/report/report.js";
import { commandOf, withDefaults } from "../../src/run/option-forms.js";
import type { ProfileModelOptions } from "../../src/run/options.js";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";

test("commandOf(command, file, options) prints what was given, quoted for a shell", () => {
  const options: ProfileModelOptions = {
    loss: "ce",
    optimizer: "sgd",
    freeze: ["a.*"],
    tf32: false,
    deterministic: false,
  };
  assert.equal(
    commandOf("profile", "my model.onnx", options),
    "mutwo profile 'my model.onnx' --loss ce --optimizer sgd --freeze 'a.*' --no-tf32",
  );
  assert.equal(
    commandOf("plan", "it's/run.json", { budget: "60%", planner: "mutwo" }),
    "mutwo plan 'it'\\''s/run.json' --budget 60% --planner mutwo",
  );
});

test("withDefaults(options) keeps what is given", () => {
  const { seed, backend, planner, iterations, warmups, dims } = withDefaults({ seed: 3, planner: undefined });
  assert.deepEqual([seed, backend, planner, iterations, warmups, dims], [3, "cpu", "best", 5, 2, {}]);
});

test("profileModel(…) has the options that make the step in run.model, its report their facts, its command all of them", async () => {
  const training = {
    loss: "mse",
    optimizer: "sgd:lr=1e-3",
    accumulate: 2,
    clipNorm: 0.5,
    freeze: ["mod.0.bias"],
    precision: "float64",
    batchNorm: "training",
  } as const;
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), { ...training, iterations: 1, warmups: 0 });
  assert.deepEqual({ ...run.model, ...training, dims: {} }, run.model);
  const html = reportHtml(run);
  for (const fact of ["micro-batches per step", "gradients clipped to norm", "frozen", "precision", "batch norm"])
    assert.ok(html.includes(fact), fact);
  assert.match(run.command, /--batch-norm training --iterations 1 --warmups 0$/);
});
