import assert from "node:assert/strict";
import { test } from "node:test";
import { inspectionSummary } from "../../src/commands/inspection.js";
import type { Inspection } from "../../src/run/inspect.js";

const found: Inspection = {
  file: "m.onnx",
  producer: "pytorch 2",
  opset: 18,
  nodes: 3,
  inputs: [{ name: "x", dtype: "float32", dims: ["batch", null, 4] }],
  outputs: Array.from({ length: 14 }, (_, i) => ({ name: `y${i}`, dtype: "float32", dims: ["batch", 10] })),
  dims: { batch: 8, length: 3 },
  guessed: ["batch"],
  parameters: 1500,
  parameterBytes: 6000,
  modules: [
    { path: "fc", class: "torch.nn.Linear", tensors: 2, parameters: 1500, bytes: 6000 },
    { path: "", class: null, tensors: 0, parameters: 0, bytes: 0 },
  ],
  losses: [
    { loss: "ce", output: "y0", shape: [8, 10], problem: null },
    { loss: "bce", output: "y0", shape: [8, 10], problem: null },
    { loss: "sum", output: "y0", shape: [8, 10], problem: "no" },
    { loss: "mse:output=y1", output: "y1", shape: [8, 10], problem: "no" },
  ],
  untrained: ["a", "b", "c", "d"].map((name) => ({ name, shape: [], reason: "a single number" })),
  notes: ["as it is"],
  problem: null,
  command: "mutwo profile m.onnx --loss ce --optimizer adam --dim batch=8",
};

test("inspectionSummary(found) is a screen that ends in the command to go on with", () => {
  const lines = inspectionSummary(found).split("\n");
  assert.ok(lines.length < 40);
  assert.equal(lines[0], "m.onnx: 3 nodes, opset 18, written by pytorch 2");
  for (const line of [
    "  x  float32[batch, ?, 4]",
    "  … and 2 more",
    "  --dim batch=8  (a guess)",
    "  --dim length=3",
    "parameters: 1,500 (5.86 KiB)",
    "  y0 [8, 10]: ce  bce",
    "  y1 [8, 10]: none",
    "float tensors that are not trained: 4",
    "  4  a single number: a, b, c, …",
    "note: as it is",
  ])
    assert.ok(lines.includes(line), line);
  assert.ok(lines.some((line) => /│ fc \(Linear\) +│ +2 │ +1,500 │ 5\.86 KiB │ 100\.0 % │/.test(line)));
  assert.equal(lines.at(-1), `  ${found.command} --budget 60%`);
});

test("inspectionSummary of a model without a step shows what is known, and no command", () => {
  const text = inspectionSummary({ ...found, dims: {}, modules: [], losses: [], command: null, problem: "unknown op" });
  assert.match(text, /^dimensions to bind: none$/m);
  assert.doesNotMatch(text, /profile|parameters|losses/);
});
