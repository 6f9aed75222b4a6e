import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { gradientName, parseName } from "../../src/graph/names.js";
import { valuesOf } from "../../src/graph/values.js";
import { savedActivations } from "../../src/memory/activations.js";
import { readModel } from "../../src/model/read.js";
import { opOf } from "../../src/ops/index.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { channelsLast } from "../../src/step/channels-last.js";
import { initialValues } from "../../src/step/initial.js";
import type { LayoutGains } from "../../src/step/layout-regions.js";
import { lower, lowerFor, type Target } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** More than anything costs. */
const every = { float32: 1e9, float64: 1e9 };

const gains: LayoutGains = { dense: every, matrices: every, grouped: every, depthwise: every, sums: {} };

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
    sameWithin(actual, expected);
  });

test("channelsLast: micro-batches in 16 bits, planned with recomputation, have the same loss and gradients", async () => {
  const { graph } = readModel(at("fixtures", "resnet_bottleneck_dynamic.onnx"), { dims: { batch: 4 }, runtime: cpu });
  const step = trainingStep(graph, {
    loss: "ce",
    optimizer: "adam",
    accumulate: 2,
    precision: "mixed:type=bfloat16",
  });
  const form = lowerFor(gpu({ dense: { bfloat16: 1e9 }, matrices: {}, grouped: {}, depthwise: {}, sums: {} }), step);
  const turned = [...savedActivations(form).keys()].filter((name) => parseName(name).order === "last");
  const image = turned.find((name) => (form.tensors.get(name)?.shape[0] ?? 0) === 4);
  assert.ok(image, turned.join());
  const planned = rewrite(form, [{ activation: image, action: "recompute" }]);
  assert.ok(planned.nodes.length > form.nodes.length);
  sameWithin(await results(step, planned), await results(step, lowerFor(gpu(), step)));
});

/** Compares gradients; what a norm takes away again has one of rounding errors. */
function sameWithin(actual: Record<string, number[]>, expected: Record<string, number[]>): void {
  const largest = Math.max(...Object.values(expected).map((values) => Math.hypot(...values)));
  for (const [tensor, values] of Object.entries(expected)) {
    const off = Math.hypot(...values.map((value, i) => value - (actual[tensor]?.[i] as number)));
    const error = off / Math.max(Math.hypot(...values), 1e-3 * largest);
    assert.ok(error < 1e-4, `${tensor}: ${error}`);
  }
}

/** The nodes of a graph whose convolutions are to have channels last, as text. */
const written = (text: string): string[] => {
  const { nodes, tensors } = channelsLast(parseGraph(text), gains, () => true);
  return nodes.map(({ op, outputs }) => `${op} [${outputs.map((name) => tensors.get(name)?.shape.join()).join("; ")}]`);
};

test("channelsLast turns what a graph takes and gives at its border, filters of one element for nothing", () => {
  const conv = (size: number) => `graph(float32[2,3,5,6] x, float32[4,3,${size},${size}] w) => (y) {
  y = Conv<kernel_shape=[${size},${size}]>(x, w)
}`;
  assert.deepEqual(written(conv(1)), [
    "Transpose [2,5,6,3]",
    "Reshape [4,1,1,3]",
    "ConvChannelsLast [2,5,6,4]",
    "Transpose [2,4,5,6]",
  ]);
  assert.equal(written(conv(3))[1], "Transpose [4,3,3,3]");
});

test("channelsLast moves axes, pads and cuts, and adds a bias in a node of its own", () => {
  const ops = written(`graph(float32[2,3,5,6] x, float32[4,3,1,1] w, float32[4] b) => (y) {
  c = Conv<kernel_shape=[1,1]>(x, w, b)
  p = Pad(c, int64[8]{0,0,1,0, 0,0,1,2})
  s = Slice(p, int64[1]{1}, int64[1]{4}, int64[1]{-2})
  d = Concat<axis=1>(s, s)
  m = GlobalAveragePool(d)
  e = Expand(m, int64[4]{2,8,3,8})
  v, _ = Split<axis=1>(e, int64[2]{4,4})
  u = Conv<kernel_shape=[1,1]>(v, float32[1,4,1,1]{1})
  y = Flatten(u)
}`);
  assert.deepEqual(ops.slice(2), [
    "ConvChannelsLast [2,5,6,4]",
    "Add [2,5,6,4]",
    "Pad [2,7,8,4]",
    "Slice [2,3,8,4]",
    "Concat [2,3,8,8]",
    "ReduceMean [2,1,1,8]",
    "Expand [2,3,8,8]",
    "Split [2,3,8,4; ]",
    "ConvChannelsLast [2,3,8,1]",
    "Reshape [2,1,3,8]",
    "Flatten [2,24]",
  ]);
});

test("lowerFor(runtime) changes no order where nothing is gained", () => {
  const graph = parseGraph("graph(float32[2,3,5,6] x, float32[4,3,1,1] w) => (y) { y = Conv(x, w) }");
  const none: LayoutGains = { dense: {}, matrices: {}, grouped: {}, depthwise: {}, sums: {} };
  assert.deepEqual(
    lowerFor(gpu(none), graph).nodes.map(({ op }) => op),
    ["Conv"],
  );
});
