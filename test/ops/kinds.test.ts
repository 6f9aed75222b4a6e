import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { expand } from "../../src/build/expand.js";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { callOf } from "../../src/ops/call.js";
import {
  attributesToInputs,
  binary,
  broadcastGradient,
  comparison,
  inferBroadcast,
  listOf,
  native,
  ofOutput0,
  sameType,
  unary,
} from "../../src/ops/kinds.js";
import type { GradientCall, OpCall } from "../../src/ops/op.js";

/** The only node of a graph that is written as text, and what an op sees of it. */
function single(text: string): { b: Builder; node: Node; call: OpCall } {
  const graph = parseGraph(text);
  const [node] = graph.nodes as [Node];
  return { b: new Builder(graph), node, call: callOf(node, graph.tensors) };
}

/** What a gradient rule sees of a node whose output 0 has the gradient `dy`, or none. */
const backward = ({ b, call }: ReturnType<typeof single>, dy?: string, wanted = [0, 1]): GradientCall => ({
  ...call,
  b,
  x: (index) => call.node.inputs[index] as string,
  y: (index) => call.node.outputs[index] as string,
  dy: () => dy,
  wants: (index) => wanted.includes(index),
  output: (index) => b.type(call.node.outputs[index] as string),
});

const sum = "graph(float32[4,3] x, float32[3] z) => (y) { y = Add(x, z) }";

test("native(infer, gradient) costs an operation per output element; traits come last", () => {
  const { call } = single(sum);
  const plain = native(inferBroadcast(), "zero");
  assert.equal(plain.flops(call, plain.infer(call)), 12);
  assert.deepEqual([plain.view, plain.inPlace, plain.deterministic], [false, [], true]);
  assert.deepEqual(native(sameType, "zero", { inPlace: [1], view: true }).inPlace, [1]);
});

test("unary, binary and comparison differ in what they write over and in their outputs' type", () => {
  const { call } = single(sum);
  const records = [unary("zero"), binary("zero"), comparison];
  assert.deepEqual(
    records.map(({ inPlace, pointwise, inputTypes }) => [inPlace, pointwise, inputTypes]),
    [
      [[0], true, undefined],
      [[0, 1], true, "equal"],
      [[], true, "equal"],
    ],
  );
  assert.deepEqual(
    records.map(({ infer }) => infer(call)[0]?.dtype),
    ["float32", "float32", "bool"],
  );
  assert.deepEqual(comparison.infer(call)[0]?.shape, [4, 3]);
});

test("broadcastGradient(…) sums over the axes along which an input was repeated, for inputs that want one", () => {
  const seen = single(sum);
  const rule = broadcastGradient(
    (_, dY) => dY,
    (_, dY) => dY,
  );
  const [dx, dz] = rule(backward(seen, "x"));
  assert.equal(dx, "x");
  assert.deepEqual(seen.b.type(dz as string).shape, [3]);
  assert.deepEqual(rule(backward(seen, "x", [0])), ["x", undefined]);
});

test("ofOutput0(rule) asks for nothing where nothing depends on output 0", () => {
  const rule = ofOutput0(() => assert.fail("the rule was asked"));
  assert.deepEqual(rule(backward(single(sum))), []);
});

test("listOf(call) takes the input before the attribute, and says what is missing", () => {
  const axes = (text: string) => listOf(single(text).call, 1, "axes");
  assert.deepEqual(axes("graph(float32[4,3] x) => (y) { y = ReduceMax<axes=[1]>(x) }"), [1]);
  assert.deepEqual(axes("graph(float32[4,3] x) => (y) { y = ReduceSum(x, int64[1]{0}) }"), [0]);
  assert.throws(() => axes("graph(float32[4,3] x) => (y) { y = Relu(x) }"), /Relu needs a constant input 1/);
});

test("attributesToInputs(starts, ends) makes constants of lists, and leaves a node without them alone", () => {
  const { b, node } = single("graph(float32[4,3] x) => (y) { y = Slice(x, int64[1]{1}, int64[1]{3}) }");
  const rule = attributesToInputs("starts", "ends");
  assert.equal(expand(b, node, rule), undefined);
  const ints = (...value: number[]) => ({ type: "ints" as const, value });
  const old = { ...node, inputs: ["x"], attributes: { starts: ints(1), ends: ints(3) } };
  const [made] = expand(b, old, rule)?.nodes ?? [];
  assert.ok(made);
  const { constant } = callOf(made, b.tensors);
  assert.deepEqual([made.attributes, made.inputs[0], constant(1), constant(2)], [{}, "x", [1], [3]]);
});
