import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { gradientName } from "../../src/graph/names.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { readDeviceSpec } from "../../src/runtime/device-spec.js";
import { openEstimate } from "../../src/runtime/estimate.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues, seededGraph } from "../../src/step/initial.js";
import { lower, lowerFor, type Target } from "../../src/step/lower.js";
import { stepFor } from "../../src/step/step.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { relativeError } from "../step.js";

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

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const gpu = openEstimate(readDeviceSpec("h100"));

/** That GPU, with kernels for attentions of few positions too. */
const attending: Target = {
  fuses: true,
  hasKernel: (node, graph) =>
    (node.domain === "mutwo" && node.op.startsWith("Attention")) || gpu.hasKernel(node, graph),
};

/** Loss and gradients of a step from those values, as numbers. */
async function gradientsOf(graph: Graph, given: ReadonlyMap<string, Uint8Array>): Promise<Map<string, number[]>> {
  const parameters = [...graph.tensors.values()].filter((t) => t.category === "parameter" && t.within);
  const names = [graph.loss as string, ...parameters.map(({ name }) => gradientName(name))];
  const held = [...given].filter(([name]) => graph.tensors.has(name));
  const values = held.map(([name, data]) => {
    const { dtype } = tensorOf(graph, name);
    return [name, dtype === "float64" ? bytesOf(dtype, valuesOf("float32", data)) : data] as const;
  });
  const { step } = loadWithValues(graph, cpu, new Map(values));
  try {
    const { observed } = await step.run({ observe: new Set(names) });
    return new Map(
      names.map((name) => [name, valuesOf(tensorOf(graph, name).dtype, observed.get(name) as Uint8Array)]),
    );
  } finally {
    step.close();
  }
}

/** Files, with the attentions of their model that a GPU computes as one node. */
for (const [file, attentions] of [
  ["bert_tiny.ts", 2],
  ["gpt2_tiny.dynamo", 2],
  ["vit_tiny.ts", 2],
  ["swin.ts", 0],
  ["clip.dynamo", 1],
  ["lstm.ts", 0],
] as const)
  for (const type of ["bfloat16", "float16"])
    test(`the step of ${file} in ${type} as a GPU runs it is as near to float64 as the plain one`, async () => {
      const { graph } = readModel(at("fixtures", `${file}.onnx`), { runtime: cpu });
      const options = { loss: "mse", optimizer: "sgd", precision: `mixed:type=${type},loss_scale=64` };
      const plain = trainingStep(graph, options);
      const { baseline } = stepFor(attending, graph, options, 0);
      assert.equal(
        baseline.nodes.filter(({ domain, op }) => domain === "mutwo" && op === "Attention").length,
        attentions,
      );
      const values = initialValues(lower(plain, cpu.hasKernel), plain, 0);
      const [exact, ...others] = (await Promise.all(
        [trainingStep(graph, { ...options, precision: "float64" }), plain, baseline].map((step) =>
          gradientsOf(seededGraph(lower(step, cpu.hasKernel), 0), values),
        ),
      )) as [Map<string, number[]>, Map<string, number[]>, Map<string, number[]>];
      // parameters without influence (biases of keys) have gradients of rounding alone
      const seen = [...exact].filter(([, list]) => Math.max(...list.map(Math.abs)) > 1e-9).map(([name]) => name);
      const [before, now] = others.map((one) =>
        seen.map((name) => relativeError(one.get(name) as number[], exact.get(name) as number[])).sort((a, z) => a - z),
      ) as [number[], number[]];
      const median = (list: readonly number[]): number => list[list.length >> 1] as number;
      assert.ok(median(now) <= 1.1 * median(before) + 1e-5, `median ${median(before)} -> ${median(now)}`);
      assert.ok((now.at(-1) as number) <= 1.5 * (before.at(-1) as number) + 1e-4, `${before.at(-1)} -> ${now.at(-1)}`);
    });
