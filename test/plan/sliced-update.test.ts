import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { timeline } from "../../src/memory/liveness.js";
import { stateUses } from "../../src/memory/state-uses.js";
import { readModel } from "../../src/model/read.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { slices, slicesOf, sliceUpdates } from "../../src/plan/sliced-update.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { openRuntime } from "../../src/runtime/open.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { stepFor } from "../../src/step/step.js";
import { at } from "../at.js";

const cpu = openCpu({ threads: 1 });
const gpu = openRuntime("estimate", { deviceSpec: "h100" });

after(() => {
  cpu.close();
  gpu.close();
});

/** A step as a GPU executes it, with its update in one kernel. */
function fusedStep(file: string, optimizer: string): Graph {
  const { graph } = readModel(at(`fixtures/${file}`), { dims: {}, runtime: gpu });
  return stepFor(gpu, graph, { loss: "ce", optimizer }, 0).baseline;
}

/** What three steps leave, by the CPU's kernels of what is fused. */
async function leftBy(graph: Graph, own: Graph): Promise<Map<string, string>> {
  const values = initialValues(own, own, 1);
  const { step } = loadWithValues(
    lower(graph, (node, tensors) => cpu.hasKernel(node, tensors)),
    cpu,
    values,
  );
  try {
    for (let i = 0; i < 3; i++) await step.run();
    return new Map([...values.keys()].map((name) => [name, Buffer.from(step.read(name)).toString("base64")]));
  } finally {
    step.close();
  }
}

for (const [file, optimizer] of [
  ["mlp.ts.onnx", "adam"],
  ["bert_tiny.ts.onnx", "adamw"],
  ["mlp.ts.onnx", "sgd:momentum=0.9"],
] as const)
  test(`${file} with ${optimizer}: an update in one kernel is cut into slices that leave the same bits, in less than residents take`, async () => {
    const graph = fusedStep(file, optimizer);
    const states = [...stateUses(graph).keys()].filter((name) => /\.(m|v|velocity)$/.test(name));
    const cut = sliceUpdates(graph, states) as Graph;
    for (const name of states) {
      assert.equal(slicesOf(graph, name), undefined);
      assert.equal(slicesOf(cut, name)?.length, slices);
    }
    assert.equal(sliceUpdates(cut, states), cut);
    const expected = await leftBy(graph, graph);
    assert.deepEqual(await leftBy(cut, graph), expected);
    const hosted = rewrite(
      graph,
      [],
      states.map((state) => ({ state, sliced: true })),
    );
    assert.deepEqual(await leftBy(hosted, graph), expected);
    const whole = rewrite(
      graph,
      [],
      states.map((state) => ({ state })),
    );
    assert.ok(layout(hosted).arenaBytes < layout(whole).arenaBytes);
    if (states.length === 2) assert.ok(layout(hosted).arenaBytes < timeline(graph).residentBytes);
  });

test("what is read elsewhere, or not element by element, is not cut", () => {
  const graph = fusedStep("mlp.ts.onnx", "adam");
  assert.equal(sliceUpdates(graph, ["parameters"]), undefined);
  assert.equal(sliceUpdates(graph, ["parameters.beta1_power"]), undefined);
  assert.throws(
    () => rewrite(graph, [], [{ state: "parameters", sliced: true }]),
    /^Error: cannot be cut into slices: parameters$/,
  );
});
