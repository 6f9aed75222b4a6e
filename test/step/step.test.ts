import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { seededGraph } from "../../src/step/initial.js";
import { lowerFor } from "../../src/step/lower.js";
import { stepFor } from "../../src/step/step.js";
import { trainingStep } from "../../src/step/training.js";

test("stepFor(runtime, graph, options, seed) is the training step, and as the runtime executes it with seeds", () => {
  const graph = parseGraph(`graph net(float32[4,3] x, parameter float32[3,2] w) => (y) {
  d = Dropout(x, float32[]{0.5}, bool[]{1})
  h = MatMul(d, w)
  y = Softsign(h)
}`);
  const options = { loss: "mse", optimizer: "sgd" };
  const runtime = { fuses: true, hasKernel: (node: { op: string }) => node.op !== "Softsign" };
  const { step, baseline } = stepFor(runtime, graph, options, 3);
  assert.deepEqual(step, trainingStep(graph, options));
  assert.deepEqual(baseline, seededGraph(lowerFor(runtime, step), 3));
  assert.ok(step.nodes.some(({ op }) => op === "Softsign"));
  assert.ok(baseline.nodes.some(({ op, attributes }) => op === "Dropout" && attributes.seed));
});
