import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { stepFor } from "../../src/step/step.js";
import { culpritOf } from "../../src/train/culprit.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const model = parseGraph(
  "graph(float32[2,2] x, parameter float32[2,2] w) => (y) { h = MatMul(x, w) l = Log(h) y = Exp(l) }",
);

/** What is found after one step from these weights. */
async function found(weights: readonly number[], x: readonly number[]): Promise<string | null> {
  const { step, baseline: graph } = stepFor(runtime, model, { loss: "mse", optimizer: "sgd", rates: "tensors" }, 0);
  const values = initialValues(graph, step, 0);
  values.set("w", bytesOf("float32", weights)).set("x", bytesOf("float32", x));
  const state = new Map([...values].filter(([name]) => !graph.inputs.includes(name) && !name.endsWith(".lr")));
  const { step: loaded } = loadWithValues(graph, runtime, values);
  let kept: Map<string, Uint8Array> | undefined;
  await loaded.run({
    beforeUpdate: () => (kept = new Map([...state.keys()].map((name) => [name, loaded.read(name)]))),
  });
  const made = await culpritOf({ graph, runtime, step: loaded, state, kept, rate: 0.01, runs: 0 });
  loaded.close();
  return made;
}

test("culpritOf(…) names the first node whose output is not finite, though the update has spoilt the weights since", async () => {
  assert.match((await found([1, 1, 1, -9], [1, 1, 1, 1])) ?? "", /^\S+ \(Log, forward\) makes l not finite$/);
  assert.equal(await found([1, 1, 1, 1], [1, 1, 1, 1]), null);
});

test("culpritOf(…) names a batch or a weight that was not finite before", async () => {
  assert.equal(await found([1, 1, 1, 1], [1, Number.NaN, 1, 1]), "input x of the batch holds NaN or infinity");
  assert.equal(
    await found([1, Number.POSITIVE_INFINITY, 1, 1], [1, 1, 1, 1]),
    "w holds NaN or infinity since the step before: its update made it",
  );
});
