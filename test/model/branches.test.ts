import assert from "node:assert/strict";
import { test } from "node:test";
import type { Tensor } from "../../src/graph/graph.js";
import { withoutControlFlow } from "../../src/model/branches.js";
import type { Initializer, Model, ModelNode, Subgraph } from "../../src/model/model.js";
import { modelNode as node } from "./model-node.js";
import { modelOf as model } from "./model-of.js";

const truth = (yes: boolean): Initializer => ({ dtype: "bool", shape: [], data: Uint8Array.of(yes ? 1 : 0) });

/** A branch of these nodes whose output is the last one's. */
const branch = (...nodes: ModelNode[]): Subgraph => ({
  inputs: [],
  outputs: [nodes.at(-1)?.name ?? "x"],
  initializers: new Map(),
  nodes,
  unreadable: new Map(),
});

const choose = (text: string, then_branch: Subgraph, else_branch: Subgraph): ModelNode =>
  node(text, { then_branch, else_branch });

const modelOf = (nodes: ModelNode[], initializers: Record<string, Initializer> = {}): Model =>
  model(nodes, { initializers: new Map(Object.entries(initializers)) });

/** What binding a part makes of it: True and False are known, everything else is not. Notes what it was asked for. */
const binder =
  (asked: string[][] = []) =>
  (part: Model) => {
    asked.push(part.nodes.map(({ name }) => name));
    const tensors = part.nodes.map(({ name, op }): [string, Tensor] => {
      const isKnown = op === "True" || op === "False";
      const known = { ...truth(op === "True"), name, category: "constant" } as const;
      return [name, isKnown ? known : { dtype: "float32", shape: [2], name, category: "activation" }];
    });
    return { tensors: new Map(tensors), outputs: part.outputs.map(({ name }) => name) };
  };

const shown = ({ nodes }: Model): string[] => nodes.map(({ op, inputs, outputs }) => `${outputs} = ${op}(${inputs})`);

test("withoutControlFlow(model, …) takes the branch that an initializer or a node says, its names prefixed", () => {
  const nodes = [
    node("c = False()"),
    choose("a = If(yes)", branch(node("h = Tanh(x)")), branch(node("h = Unknown(x)"))),
    choose("y = If(c)", branch(node("h = Unknown(a)")), branch(node("h = Neg(a)"), node("g = Add(h, x)"))),
  ];
  assert.deepEqual(shown(withoutControlFlow(modelOf(nodes, { yes: truth(true) }), ["y"], binder())), [
    "c = False()",
    "a/h = Tanh(x)",
    "a = Identity(a/h)",
    "y/h = Neg(a)",
    "y/g = Add(y/h,x)",
    "y = Identity(y/g)",
  ]);
});

test("withoutControlFlow(model, …) takes branches in branches, and asks for each node once", () => {
  const inner = choose("i = If(d)", branch(node("t = Tanh(h)")), branch(node("t = Unknown(h)")));
  const nodes = [
    node("h = Relu(x)"),
    node("c = True(h)"),
    choose("y = If(c)", branch(node("d = True(h)"), inner), branch(node("u = Unknown(x)"))),
  ];
  const asked: string[][] = [];
  assert.deepEqual(shown(withoutControlFlow(modelOf(nodes), ["y"], binder(asked))), [
    "h = Relu(x)",
    "c = True(h)",
    "y/d = True(h)",
    "y/i/t = Tanh(h)",
    "y/i = Identity(y/i/t)",
    "y = Identity(y/i)",
  ]);
  assert.deepEqual(asked, [["h", "c"], ["y/d"]]);
});

test("withoutControlFlow(model, …) keeps a branch's initializers, and names that are taken", () => {
  const weights = { ...branch(node("h = Mul(x, w)")), initializers: new Map([["w", truth(true)]]) };
  const nodes = [node("y/h = Relu(x)"), choose("y = If(yes)", weights, branch())];
  const taken = withoutControlFlow(modelOf(nodes, { yes: truth(true) }), ["y"], binder());
  assert.deepEqual(shown(taken), ["y/h = Relu(x)", "y_2/h = Mul(x,y_2/w)", "y = Identity(y_2/h)"]);
  assert.deepEqual([...taken.initializers.keys()], ["yes", "y_2/w"]);
});

test("withoutControlFlow(model, …) keeps the tensors of the branch that is not taken: nothing reads them, readers list them", () => {
  const w: Initializer = { dtype: "float32", shape: [1], data: new Uint8Array(4) };
  const inner = { ...branch(node("b = Unknown(v)")), initializers: new Map([["v", w]]) };
  const other = { ...branch(node("h = Foo(w)"), choose("i = If(x)", inner, inner)), initializers: new Map([["w", w]]) };
  const taken = withoutControlFlow(
    modelOf([choose("y = If(yes)", branch(node("h = Tanh(x)")), other)], { yes: truth(true) }),
    ["y"],
    binder(),
  );
  assert.deepEqual(shown(taken), ["y/h = Tanh(x)", "y = Identity(y/h)"]);
  assert.deepEqual([...taken.initializers.keys()], ["yes", "y/not taken/w", "y/not taken/v"]);
});

test("withoutControlFlow(model, …) leaves an If alone that the outputs do not need", () => {
  const model = modelOf([node("y = Relu(x)"), choose("z = If(x)", branch(), branch())]);
  assert.equal(withoutControlFlow(model, ["y"], binder()), model);
});

test("withoutControlFlow(model, …) refuses what it cannot know, and a circle", () => {
  const refused = (nodes: ModelNode[]): string => {
    try {
      return shown(withoutControlFlow(modelOf(nodes), ["y"], binder())).join();
    } catch (error) {
      return (error as Error).message.split(";")[0] ?? "";
    }
  };
  const choice = choose("y = If(c)", branch(), branch());
  assert.equal(refused([node("c = Relu(x)"), choice]), "unsupported: control flow If (node y)");
  assert.equal(refused([choose("y = If(x)", branch(), branch())]), "unsupported: control flow If (node y)");
  assert.equal(
    refused([node("c = True()"), node("y = If(c)", { else_branch: branch() })]),
    "If lacks the branch that it takes (node y)",
  );
  assert.match(refused([node("c = Not(y)"), choice]), /\(node y\)$/);
});
