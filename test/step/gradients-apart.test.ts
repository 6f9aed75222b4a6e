import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/parse.js";
import { consumers } from "../../src/graph/graph.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { gradientsApart } from "../../src/step/gradients-apart.js";
import { stepFor } from "../../src/step/step.js";

test("gradientsApart(step) puts what makes parameters' gradients alone into a lane, and nothing that others wait for", async () => {
  const cpu = openCpu({ threads: 1 });
  const model = parseGraph(`graph n(float32[8,6] x, parameter float32[6,16] v, parameter float32[16,3] w) => (y) {
    h = MatMul(x, v)
    r = Relu(h)
    y = MatMul(r, w)
  }`);
  const { baseline } = stepFor(cpu, model, { loss: "ce", optimizer: "sgd" }, 0);
  await cpu.close();
  const apart = gradientsApart(baseline, 3);
  const moved = apart.nodes.filter(({ lane }) => lane === 3);
  assert.deepEqual(
    moved.map(({ outputs }) => outputs),
    [["w.grad"], ["v.grad"]],
  );
  const readers = consumers(apart);
  for (const { outputs } of moved) for (const name of outputs) assert.deepEqual(readers.get(name) ?? [], []);
  assert.deepEqual(
    apart.nodes.map(({ lane, ...rest }) => rest),
    baseline.nodes.map(({ lane, ...rest }) => rest),
  );
});
