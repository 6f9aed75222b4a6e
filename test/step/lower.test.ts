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

test("lower(graph) refuses what has neither kernel nor body", () => {
  const graph = parseGraph("graph g(float32[4] x) => (y) { y = Exp(x) }");
  assert.throws(() => lower(graph, except("Exp")), /^Error: no kernel: Exp float32 \(node y\)$/);
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
    lower(graph, kernels, fuses).nodes.map(({ op }) => op);
  assert.deepEqual(ops(all, true), ["BatchNormalizationStatistics", "BatchNormalizationApply"]);
  assert.deepEqual(ops(all, false), ["BatchNormalization"]);
  assert.deepEqual(ops(except("BatchNormalizationApply"), true), ["BatchNormalization"]);
});

test("lower(graph) for a runtime that fuses writes element-wise ops out that kernels have no expression for", () => {
  const graph = parseGraph("graph g(float32[2,3] x) => (y) { h = HardSwish(x) y = Relu(h) }");
  const ops = (fuses: boolean): string[] => lower(graph, () => true, fuses).nodes.map(({ op }) => op);
  assert.deepEqual(ops(true), ["HardSigmoid", "Mul", "Relu"]);
  assert.deepEqual(ops(false), ["HardSwish", "Relu"]);
});
