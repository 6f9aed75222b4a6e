import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { lower, lowerFor } from "../../src/step/lower.js";

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
