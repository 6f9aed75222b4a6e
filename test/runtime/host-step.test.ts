import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { loadStep } from "../../src/runtime/host-step.js";
import { openKernels } from "../../src/runtime/ort.js";

const kernels = openKernels({ threads: 1 });

after(() => kernels.close());

/** w becomes w + x in each step; the loss is their sum. */
const graph = {
  ...parseGraph(`graph(float32[2] x, parameter float32[2] w) => (loss, next) {
  next = Add(w, x)
  loss = ReduceSum<keepdims=0>(next)
}`),
  state: [{ before: "w", after: "next" }],
  loss: "loss",
};

const load = () => {
  const step = loadStep(graph, layout(graph), kernels, () => openKernels({ threads: 1 }));
  step.write("x", bytesOf("float32", [1, 2]));
  step.write("w", bytesOf("float32", [10, 20]));
  return step;
};

test("loadStep(graph).run() renews the state in place, and so does runNow()", async () => {
  const step = load();
  await step.run();
  assert.deepEqual(valuesOf("float32", step.read("w")), [11, 22]);
  step.runNow();
  assert.deepEqual(valuesOf("float32", step.read("w")), [12, 24]);
  step.close();
});

test("loadStep(graph).measure() runs real steps: two for each iteration, and one more for the workspace", async () => {
  const step = load();
  const { losses, nodes, step: times } = await step.measure({ iterations: 2, warmups: 1, copyBytes: [] });
  assert.deepEqual(losses, [33, 36, 39, 42, 45]);
  assert.deepEqual([nodes.map((samples) => samples.length), times.length], [[2, 2], 2]);
  assert.deepEqual(valuesOf("float32", step.read("w")), [16, 32]);
  step.close();
});
