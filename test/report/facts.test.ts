import assert from "node:assert/strict";
import { test } from "node:test";
import { facts } from "../../src/report/facts.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

const factOf = (changed: object, name: string) =>
  facts({ ...run, model: { ...run.model, ...changed } }).find((fact) => fact.name === name)?.value;

test("facts(run) say what was profiled and on what", () => {
  assert.match(
    factOf({ producer: "" }, "model") ?? "",
    /^resnet_bottleneck_dynamic\.onnx \(unknown producer, opset \d+\)$/,
  );
  assert.equal(factOf({}, "dimensions"), "batch = 8");
  assert.equal(factOf({ dims: {} }, "dimensions"), "fixed by the file");
  assert.match(factOf({}, "backend") ?? "", /^replay: NVIDIA .* multiprocessors$/);
  assert.equal(factOf({}, "TF32"), "on");
});

test("facts(run) name the settings of the step that were given, and no others", () => {
  assert.equal(factOf({}, "frozen"), undefined);
  assert.equal(factOf({ freeze: ["encoder.*", "head"] }, "frozen"), "encoder.*, head");
  assert.equal(factOf({ accumulate: 4 }, "micro-batches per step"), "4");
  assert.equal(factOf({ clipNorm: 0.5 }, "gradients clipped to norm"), "0.5");
  assert.equal(factOf({ precision: "mixed" }, "precision"), "mixed");
});
