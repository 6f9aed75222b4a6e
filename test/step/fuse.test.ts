import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, producers, tensorOf } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { valuesOf } from "../../src/graph/values.js";
import { savedActivations } from "../../src/memory/activations.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { storages } from "../../src/memory/storages.js";
import { readModel } from "../../src/model/read.js";
import { fusedBody } from "../../src/ops/fused.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { readDeviceSpec } from "../../src/runtime/device-spec.js";
import { openEstimate } from "../../src/runtime/estimate.js";
import { fuse } from "../../src/step/fuse.js";
import { seededGraph } from "../../src/step/initial.js";
import { lower, lowerFor } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { outcome, relativeError } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** The training step of a model in test/fixtures, lowered and no more. */
const lowered = (file: string, options: TrainingOptions, dims: Record<string, number> = {}): Graph => {
  const { graph } = readModel(at("fixtures", file), { dims, runtime: cpu });
  return seededGraph(lower(trainingStep(graph, options), cpu.hasKernel), 0);
};

const models: readonly [string, TrainingOptions, Record<string, number>?][] = [
  ["mlp.ts", { loss: "mse", optimizer: "adam" }],
  ["bert_tiny.ts", { loss: "ce", optimizer: "adamw" }],
  ["gpt2_tiny.dynamo", { loss: "ce", optimizer: "adam" }],
  ["gpt2_tiny.dynamo", { loss: "ce", optimizer: "sgd", accumulate: 2, clipNorm: 1 }],
  ["resnet_bottleneck.ts", { loss: "ce", optimizer: "sgd" }],
  ["lstm.ts", { loss: "ce", optimizer: "adam" }],
  ["swin.ts", { loss: "ce", optimizer: "adam" }],
  ["dropout_block", { loss: "ce", optimizer: "adam" }, { batch: 4 }],
];

for (const [name, options, dims] of models)
  test(`fuse(${name}, ${options.optimizer}${options.accumulate ? ", 2 micro-batches" : ""}) gives the same bits with fewer nodes and no larger peak`, async () => {
    const step = lowered(`${name}.onnx`, options, dims);
    const fused = fuse(step);
    assert.ok(fused.nodes.length < 0.9 * step.nodes.length, `${step.nodes.length} -> ${fused.nodes.length} nodes`);
    assert.ok(peakBytes(fused) <= 1.05 * peakBytes(step), `${peakBytes(step)} -> ${peakBytes(fused)} bytes`);
    // every input is made before it is read
    const made = producers(fused);
    fused.nodes.forEach((node, rank) => {
      for (const input of node.inputs) assert.ok((made.get(input) ?? -1) < rank, `${node.name} reads ${input}`);
    });
    const [expected, actual] = [await outcome(cpu, step), await outcome(cpu, lower(fused, cpu.hasKernel))];
    for (const [tensor, bytes] of expected) assert.deepEqual(actual.get(tensor), bytes, tensor);
  });

const gpu = openEstimate(readDeviceSpec("h100"));

for (const [name, loss, precision, limit] of [
  ["resnet_bottleneck.ts", "ce", "float64", 1e-11],
  ["mobilenet_v2.ts", "ce", "float64", 1e-11],
  ["unet_bn.dynamo", "ce:axis=1", "float64", 1e-11],
  ["resnet_bottleneck.ts", "ce", "mixed:type=float16", 0.02],
] as const)
  test(`the step of ${name} in ${precision} as a GPU runs it, batch norm in parts, computes what the plain one does`, async () => {
    const { graph } = readModel(at("fixtures", `${name}.onnx`), { runtime: cpu });
    const step = trainingStep(graph, { loss, optimizer: "sgd:lr=1e-3", precision });
    const fused = seededGraph(lowerFor(gpu, step), 0);
    assert.ok(fused.nodes.some(({ attributes }) => /GradientSums/.test(String(attributes.ops?.value))));
    assert.ok(fused.nodes.every(({ op }) => op !== "BatchNormalization"));
    const plain = seededGraph(lower(step, cpu.hasKernel), 0);
    const [expected, actual] = [await outcome(cpu, plain), await outcome(cpu, lower(fused, cpu.hasKernel))];
    for (const [tensor, bytes] of expected) {
      const { dtype } = tensorOf(plain, tensor);
      const [p, q] = [bytes, actual.get(tensor) as Uint8Array].map((data) => valuesOf(dtype, data)) as [
        number[],
        number[],
      ];
      // the mean of a channel whose elements sum to next to nothing is rounding
      const off = p.reduce((most, value, i) => Math.max(most, Math.abs(value - (q[i] as number))), 0);
      assert.ok(relativeError(q, p) <= limit || off < 1e-12, `${tensor}: ${relativeError(q, p)}, ${off}`);
    }
  });

test("an activation behind a batch norm is one node with it on a GPU, whichever it is", () => {
  const activations = "Relu HardSwish HardSigmoid Clip Gelu Selu Celu Elu LeakyRelu Softplus Mish Sigmoid Tanh".split(
    " ",
  );
  for (const op of activations) {
    const graph = parseGraph(`graph(float32[8,16,32,32] x, float32[16] s, float32[16] m, float32[16] v) => (y) {
  n = mutwo.BatchNormalization(x, s, s, m, v)
  y = ${op}(n)
}`);
    const { nodes } = lowerFor(gpu, graph);
    assert.deepEqual(
      nodes.map((node) => node.op),
      ["BatchNormalizationStatistics", "Fused"],
      op,
    );
    assert.match(String(nodes[1]?.attributes.ops?.value), /^BatchNormalizationApply /, op);
  }
});

test("rewrite(fuse(step), any recomputation) gives the same bits", async () => {
  const fused = fuse(lowered("bert_tiny.ts.onnx", { loss: "ce", optimizer: "adam" }));
  const expected = await outcome(cpu, lower(fused, cpu.hasKernel));
  const random = randomFrom(7);
  for (let round = 0; round < 3; round++) {
    const decisions = [...savedActivations(fused).values()]
      .filter(({ fixed }) => fixed === null && random() < 0.5)
      .map(({ name }) => ({ activation: name, action: "recompute" as const }));
    const actual = await outcome(cpu, lower(rewrite(fused, decisions), cpu.hasKernel));
    for (const [tensor, bytes] of expected) assert.deepEqual(actual.get(tensor), bytes, `${tensor}, round ${round}`);
  }
});

test("fuse(a 16-bit node alone) is a node that a kernel is generated for, where it broadcasts over much", () => {
  const ops = (type: string, rows: number, more = ""): string[] => {
    const graph = parseGraph(`graph g(${type}[${rows},1024] x, ${type}[1024] c) => (y) { y = Add(x, ${more || "c"}) }`);
    return fuse(graph).nodes.map(({ op }) => op);
  };
  assert.deepEqual(ops("bfloat16", 256), ["Fused"]);
  assert.deepEqual(ops("float16", 256), ["Fused"]);
  assert.deepEqual(ops("bfloat16", 255), ["Add"]);
  assert.deepEqual(ops("float32", 256), ["Add"]);
  assert.deepEqual(ops("bfloat16", 256, "x"), ["Add"]);
  assert.deepEqual(ops("bfloat16", 256, "bfloat16[]{2}"), ["Add"]);
});

test("fuse(GELU) saves one tensor: the backward node computes the rest again", () => {
  const gelu = parseGraph(`graph(float32[64,8] x, float32[64,65536] y, parameter float32[8,65536] w) => (loss, dw) {
  h = MatMul(x, w)
  a = Div(h, float32[]{1.41421356})
  e = Erf(a)
  s = Add(e, float32[]{1})
  m = Mul(h, s)
  g = Mul(m, float32[]{0.5})
loss:
  d = Sub(g, y)
  loss = ReduceMean<keepdims=0>(d)
backward:
  p = Mul(y, s)
  q = Mul(p, a)
  r = Mul(q, e)
  dw = ReduceSum<keepdims=0>(r, int64[1]{0})
  loss loss
}`);
  const fused = fuse(gelu);
  const forward = new Set(fused.nodes.flatMap(({ phase, outputs }) => (phase === "forward" ? outputs : [])));
  const backward = fused.nodes.filter(({ phase }) => phase === "backward");
  assert.deepEqual(
    backward.map(({ op, outputs }) => `${outputs} = ${op}`),
    ["r = Fused", "dw = ReduceSum"],
  );
  // e and s are made again: one tensor of the chain is saved, where PyTorch would save four
  assert.equal(backward[0]?.inputs.filter((name) => forward.has(name)).length, 1);
  assert.match(String(backward[0]?.attributes.ops?.value), /^(Div )?Erf Add /);
});

test("fuse(Adam) is one node over the flat buffers that writes the next state where the state is", () => {
  const fused = fuse(lowered("mlp.ts.onnx", { loss: "mse", optimizer: "adam" }));
  const update = fused.nodes.filter(({ phase, op }) => phase === "update" && op === "Fused");
  const whole = update.find(({ outputs }) => outputs.includes("parameters.next"));
  assert.ok(whole);
  assert.equal(whole.outputs.length, 3);
  const { of } = storages(fused);
  for (const { before, after } of fused.state) assert.equal(of.get(after)?.storage, of.get(before)?.storage, after);
  assert.equal(fusedBody(whole).nodes.filter(({ op }) => op === "Sqrt").length, 1);
});
