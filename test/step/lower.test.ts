import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, type Node, tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { seededGraph } from "../../src/step/initial.js";
import { lower, lowerFor } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { outcome } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const except =
  (...ops: readonly string[]) =>
  (node: Node): boolean =>
    !ops.includes(node.op);

const shown = ({ nodes }: Graph): string[] => nodes.map(({ op, outputs }) => `${outputs.join(" ")} = ${op}`);

test("lower(graph) writes out what has no kernel, under the same names", () => {
  const graph = parseGraph("graph g(float32[4] x) => (y) { a = Exp(x) y = Softsign(a) }");
  assert.deepEqual(lower(graph, () => true).nodes, graph.nodes);
  const lowered = lower(graph, except("Softsign"));
  assert.ok(lowered.nodes.length > 2);
  assert.deepEqual([lowered.nodes.at(-1)?.outputs, lowered.nodes[0]?.outputs], [["y"], ["a"]]);
  assert.ok(lowered.nodes.slice(1).every(({ name }) => name.startsWith("y/")));
});

test("lower(graph) gives a result that is one of the node's inputs storage of its own", () => {
  const graph = parseGraph("graph g(float32[4] x) => (y) { y = Sum(x) }");
  assert.deepEqual(shown(lower(graph, except("Sum"))), ["y = Mul"]);
});

test("lower(graph) of float16 casts around what has a kernel in float32 only", () => {
  const graph = parseGraph("graph g(float16[4] x) => (y) { y = Tanh(x) }");
  const wide = lower(
    graph,
    (node, { tensors }) => node.op === "Cast" || tensors.get(node.inputs[0] as string)?.dtype === "float32",
  );
  assert.deepEqual(
    wide.nodes.map(({ op, outputs }) => `${op} ${wide.tensors.get(outputs[0] as string)?.dtype}`),
    ["Cast float32", "Tanh float32", "Cast float16"],
  );
});

test("lower(graph) adds a convolution's bias apart where there is a kernel only without it", () => {
  const without = (node: Node): boolean => !node.inputs[2];
  for (const [op, w] of [
    ["Conv", "4,3,3,3"],
    ["ConvTranspose", "3,4,3,3"],
  ] as const) {
    const graph = parseGraph(
      `graph g(bfloat16[2,3,8,8] x, bfloat16[${w}] w, bfloat16[4] c) => (y) { y = ${op}<kernel_shape=[3,3]>(x, w, c) }`,
    );
    const lowered = lower(graph, without);
    assert.deepEqual(
      lowered.nodes.map((node) => node.op),
      [op, "Reshape", "Add"],
    );
    assert.deepEqual(lowered.tensors.get("y"), graph.tensors.get("y"));
    assert.deepEqual(lowered.tensors.get(lowered.nodes[1]?.outputs[0] as string)?.shape, [4, 1, 1]);
    assert.deepEqual(lower(graph, () => true).nodes, graph.nodes);
  }
});

test("lower(graph) refuses what has neither kernel nor body", () => {
  const graph = parseGraph("graph g(float32[4] x) => (y) { y = Exp(x) }");
  assert.throws(() => lower(graph, except("Exp")), /^Error: no kernel: Exp float32 \(node y\)$/);
});

test("lowerFor(runtime, graph) turns filters of transposed convolutions round where a host does the work", () => {
  const ops = (attributes: string, size: number, runtime: { fuses?: boolean }): string[] => {
    const graph = parseGraph(
      `graph g(float32[2,4,${size},${size}] x, float32[4,2,3,3] w) => (y) { y = ConvTranspose<${attributes}>(x, w) }`,
    );
    return lowerFor({ ...runtime, hasKernel: () => true }, graph).nodes.map(({ op }) => op);
  };
  const turned = ["Reshape", "MatMul", "Reshape", "Transpose", "Reshape", "Conv"];
  assert.deepEqual(ops("pads=[1,1,1,1]", 12, {}), turned);
  assert.deepEqual(ops("group=2", 3, {}), turned, "group by group, whatever the size");
  assert.deepEqual(ops("pads=[1,1,1,1]", 12, { fuses: true }), ["ConvTranspose"], "a GPU");
  assert.deepEqual(ops("strides=[2,2]", 12, {}), ["ConvTranspose"], "zeros between the elements");
  assert.deepEqual(ops("", 3, {}), ["ConvTranspose"], "too few positions");
});

test("lowerFor(runtime, graph) convolves in blocks of channels where the runtime has some", () => {
  const graph = parseGraph(
    "graph g(float32[1,32,20,20] x, float32[32,32,3,3] w) => (y) { y = Conv<pads=[1,1,1,1]>(x, w) }",
  );
  const ops = (channelBlock?: number, fuses?: boolean): string[] =>
    lowerFor({ hasKernel: () => true, channelBlock, fuses }, graph)
      .nodes.map(({ op }) => op)
      .filter((op) => op !== "Reshape");
  const inBlocks = ["IntoBlocks", "IntoBlocks", "IntoBlocks", "BlockedConv", "OutOfBlocks"];
  assert.deepEqual(ops(16), inBlocks);
  assert.deepEqual(ops(8), inBlocks);
  assert.deepEqual(ops(64), ["Conv"], "too few channels");
  assert.deepEqual([ops(), ops(1), ops(16, true)], [["Conv"], ["Conv"], ["Conv"]]);
});

test("lowerFor(runtime, graph) fuses only where the runtime does", () => {
  const graph = parseGraph("graph g(float32[4] x) => (y) { a = Exp(x) y = Sin(a) }");
  const hasKernel = (): boolean => true;
  assert.deepEqual(shown(lowerFor({ hasKernel }, graph)), ["a = Exp", "y = Sin"]);
  assert.deepEqual(shown(lowerFor({ hasKernel, fuses: true }, graph)), ["y = Fused"]);
});

test("lower(graph) for a runtime that fuses takes an op's parts where there are kernels for them all", () => {
  const graph = parseGraph(`graph g(float32[2,3,4] x, float32[3] s, float32[3] m, float32[3] v) => (y) {
  y = mutwo.BatchNormalization(x, s, s, m, v)
}`);
  const all = (): boolean => true;
  const ops = (kernels: (node: Node) => boolean, fuses: boolean): string[] =>
    lower(graph, kernels, fuses ? "parts" : undefined).nodes.map(({ op }) => op);
  assert.deepEqual(ops(all, true), ["BatchNormalizationStatistics", "BatchNormalizationApply"]);
  assert.deepEqual(ops(all, false), ["BatchNormalization"]);
  assert.deepEqual(ops(except("BatchNormalizationApply"), true), ["BatchNormalization"]);
});

test("lower(graph, hasKernel, parts) prefers an op's parts to its kernel where all of them fuse", () => {
  const parts = (text: string, inputs: string, fuses = true) =>
    lower(parseGraph(`graph g(${inputs}) => (y) { ${text} }`), () => true, fuses ? "parts" : undefined)
      .nodes.map(({ op }) => op)
      .join(" ");
  const logSoftmax = "y = LogSoftmax<axis=-1>(x)";
  assert.equal(parts(logSoftmax, "float32[4,8] x"), "ReduceMax Sub Exp ReduceSum Log Sub");
  assert.equal(parts(logSoftmax, "float32[4,8] x", false), "LogSoftmax");
  // an axis in the middle, and few rows that are too long
  assert.equal(parts("y = LogSoftmax<axis=1>(x)", "float32[4,8,2] x"), "LogSoftmax");
  assert.equal(parts(logSoftmax, "float32[4,50000] x"), "LogSoftmax");
  // one place of each row: alone a kernel does it, beside others it is a part of theirs
  const inputs = "float32[4,8] x, int64[4,1] i, float32[4,1] u";
  assert.equal(parts("y = GatherElements<axis=1>(x, i)", inputs), "GatherElements");
  assert.match(parts("a = Exp(x) y = GatherElements<axis=1>(a, i)", inputs), /^Exp .*Equal Where ReduceSum$/);
  assert.match(parts("a = Exp(x) y = ScatterElements<axis=1>(a, i, u)", inputs), /^Exp .*Equal Where$/);
  assert.match(
    parts('a = Exp(x) y = ScatterElements<axis=1, reduction="add">(a, i, u)', inputs),
    /^Exp .*Equal Where Add$/,
  );
  assert.equal(
    parts('a = Exp(x) y = ScatterElements<axis=1, reduction="mul">(a, i, u)', inputs),
    "Exp ScatterElements",
  );
  assert.match(parts("a = Exp(x) y = GatherElements<axis=0>(a, j)", "float32[4,8] x, int64[1,8] j"), /GatherElements$/);
});

for (const name of ["bert_tiny.ts", "swin.ts", "gpt2_tiny.dynamo"])
  test(`lower(${name}, hasKernel, fuses) computes the same in parts`, async () => {
    const { graph } = readModel(at("fixtures", `${name}.onnx`), { runtime: cpu });
    const step = seededGraph(trainingStep(graph, { loss: "ce", optimizer: "sgd" }), 0);
    const [whole, parts] = [lower(step, cpu.hasKernel), lower(lower(step, cpu.hasKernel, "parts"), cpu.hasKernel)];
    assert.ok(whole.nodes.some(({ op }) => op === "LayerNormalization"));
    assert.ok(!parts.nodes.some(({ op }) => op === "LayerNormalization" || op === "LogSoftmax"));
    const [expected, actual] = [await outcome(cpu, whole), await outcome(cpu, parts)];
    for (const [tensor, bytes] of expected) {
      const { dtype } = tensorOf(whole, tensor);
      const [p, q] = [valuesOf(dtype, actual.get(tensor) as Uint8Array), valuesOf(dtype, bytes)];
      // the gradient of a key's bias is nothing but rounding
      const off = q.reduce((most, value, i) => Math.max(most, Math.abs((p[i] as number) - value)), 0);
      assert.ok(off < 1e-5 + 1e-4 * Math.hypot(...q.slice(0, 1000)), `${tensor}: ${off}`);
    }
  });

test("lower(graph) for a runtime that fuses writes element-wise ops out that kernels have no expression for", () => {
  const graph = parseGraph("graph g(float32[2,3] x) => (y) { h = HardSwish(x) y = Relu(h) }");
  const ops = (fuses: boolean): string[] =>
    lower(graph, () => true, fuses ? "parts" : undefined).nodes.map(({ op }) => op);
  assert.deepEqual(ops(true), ["HardSigmoid", "Mul", "Relu"]);
  assert.deepEqual(ops(false), ["HardSwish", "Relu"]);
});
