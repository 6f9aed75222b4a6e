import assert from "node:assert/strict";
import { test } from "node:test";
import { withBranchesTaken } from "../../src/model/onnx-branches.js";
import type { ProtoGraph, ProtoNode, ProtoTensor } from "../../src/model/onnx-proto.js";

const truth = (name: string, yes: boolean): ProtoTensor => ({
  name,
  dataType: 9,
  dims: [],
  rawData: Uint8Array.of(yes ? 1 : 0),
});

/** A branch `h = op(x)` whose output is `result`. */
const branch = (op: string, result = "h", more: ProtoGraph = {}): ProtoGraph => ({
  node: [{ opType: op, input: ["x"], output: ["h"] }],
  output: [{ name: result }],
  ...more,
});

const choose = (name: string, condition: string, then: ProtoGraph, otherwise: ProtoGraph): ProtoNode => ({
  opType: "If",
  name,
  input: [condition],
  output: [`${name}.y`],
  attribute: [
    { name: "then_branch", type: 5, g: then },
    { name: "else_branch", type: 5, g: otherwise },
  ],
});

const shown = ({ node = [] }: Pick<ProtoGraph, "node">): string[] =>
  node.map(({ opType, input = [], output }) => `${output} = ${opType}(${input})`);

test("withBranchesTaken(graph) takes the branch that the constant says, its names prefixed with the If's", () => {
  const initializer = [truth("yes", true), truth("no", false)];
  const node = [
    choose("a", "yes", branch("Tanh"), branch("Sigmoid")),
    choose("b", "no", branch("Tanh"), branch("Sigmoid")),
  ];
  assert.deepEqual(shown(withBranchesTaken({ node, initializer })), [
    "a/h = Tanh(x)",
    "a.y = Identity(a/h)",
    "b/h = Sigmoid(x)",
    "b.y = Identity(b/h)",
  ]);
});

test("withBranchesTaken(graph) reads a condition from a Constant, and one inside of a branch that it takes", () => {
  const constant = (name: string, yes: boolean): ProtoNode => ({
    opType: "Constant",
    output: [name],
    attribute: [{ name: "value", type: 4, t: truth("", yes) }],
  });
  const inner: ProtoGraph = {
    node: [constant("c", false), choose("i", "c", branch("Tanh"), branch("Sigmoid"))],
    output: [{ name: "i.y" }],
  };
  const node = [constant("yes", true), choose("a", "yes", inner, branch("Neg"))];
  assert.deepEqual(shown(withBranchesTaken({ node })), [
    "yes = Constant()",
    "a/c = Constant()",
    "a/i/h = Sigmoid(x)",
    "a/i.y = Identity(a/i/h)",
    "a.y = Identity(a/i.y)",
  ]);
});

test("withBranchesTaken(graph) hands on a tensor from outside and keeps a branch's initializers under its name", () => {
  const weight: ProtoTensor = { name: "w", dataType: 1, dims: [1], floatData: [7] };
  const outer = branch("Tanh", "x", { initializer: [weight] });
  const taken = withBranchesTaken({
    node: [choose("a", "yes", outer, branch("Neg"))],
    initializer: [truth("yes", true)],
  });
  assert.deepEqual(shown(taken), ["a/h = Tanh(x)", "a.y = Identity(x)"]);
  assert.deepEqual(
    taken.initializer?.map(({ name, floatData }) => [name, floatData]),
    [
      ["yes", undefined],
      ["a/w", [7]],
    ],
  );
});

test("withBranchesTaken(graph) leaves an If alone whose condition is no constant bool", () => {
  const node = [choose("a", "x", branch("Tanh"), branch("Neg"))];
  const initializer: ProtoTensor[] = [{ name: "x", dataType: 1, dims: [], floatData: [1] }];
  assert.deepEqual(shown(withBranchesTaken({ node, initializer })), ["a.y = If(x)"]);
});
