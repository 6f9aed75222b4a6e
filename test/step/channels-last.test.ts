import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph, Node } from "../../src/graph/graph.js";
import { gradientName } from "../../src/graph/names.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { opOf } from "../../src/ops/index.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import type { LayoutGains } from "../../src/step/layout-regions.js";
import { lower, lowerFor, type Target } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** Convolutions gain more than anything costs. */
const gains: LayoutGains = { dense: { float32: 1e9, float64: 1e9 }, grouped: { float32: 1e9, float64: 1e9 } };

/** A runtime that fuses and has kernels for all ops of ours. */
const gpu = (layoutGains?: LayoutGains): Target => ({
  fuses: true,
  ...(layoutGains && { layoutGains }),
  hasKernel: (node, graph) => node.domain === "mutwo" || cpu.hasKernel(node, graph),
});

/** Loss and gradients of a step, written out for the CPU, from the values that the model's own step begins with. */
async function results(step: Graph, form: Graph): Promise<Record<string, number[]>> {
  const lowered = lower(form, cpu.hasKernel);
  const parts = [...step.tensors.values()].filter(({ category, within }) => category === "parameter" && within);
  const observe = [step.loss as string, ...parts.map(({ name }) => gradientName(name))];
  const { step: loaded } = loadWithValues(lowered, cpu, initialValues(step, step, 0));
  try {
    const { observed } = await loaded.run({ observe: new Set(observe) });
    return Object.fromEntries([...observed].map(([name, bytes]) => [name, valuesOf("float32", bytes)]));
  } finally {
    loaded.close();
  }
}

const isLast = (node: Node): boolean => opOf(node).channelsFirst !== undefined;

for (const name of ["resnet_bottleneck.ts.onnx", "mobilenet_v2.ts.onnx", "unet_bn.dynamo.onnx"])
  test(`channelsLast: the step of ${name} has the same loss and gradients`, async () => {
    const { graph } = readModel(at("fixtures", name), { dims: {}, runtime: cpu });
    const step = trainingStep(graph, { loss: name.startsWith("unet") ? "mse" : "ce", optimizer: "adam" });
    const plain = lowerFor(gpu(), step);
    const form = lowerFor(gpu(gains), step);
    const count = form.nodes.filter(isLast).length;
    assert.ok(count > 50, `${count} nodes`);
    const [expected, actual] = [await results(step, plain), await results(step, form)];
    // what a norm takes away again has a gradient of rounding errors
    const largest = Math.max(...Object.values(expected).map((values) => Math.hypot(...values)));
    for (const [tensor, values] of Object.entries(expected)) {
      const off = Math.hypot(...values.map((value, i) => value - (actual[tensor]?.[i] as number)));
      const error = off / Math.max(Math.hypot(...values), 1e-3 * largest);
      assert.ok(error < 1e-4, `${tensor}: ${error}`);
    }
  });
