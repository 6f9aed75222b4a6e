import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModelNode, Subgraph } from "../../src/model/model.js";
import { instanceOf, readsOf } from "../../src/model/subgraphs.js";
import { modelNode as node } from "./model-node.js";

const graph = (nodes: ModelNode[], outputs: string[], more: Partial<Subgraph> = {}): Subgraph => ({
  inputs: [],
  outputs,
  initializers: new Map(),
  nodes,
  unreadable: new Map(),
  ...more,
});

const shown = (nodes: readonly ModelNode[]): string[] =>
  nodes.map(({ name, op, inputs, outputs }) => `${name}: ${outputs} = ${op}(${inputs})`);

const inner = graph([node("t = Add(h, w)"), node("u = Mul(t, x)")], ["u"]);
const outer = graph([node("h = Relu(x)"), node("i = If(c)", { then_branch: inner })], ["i"], {
  initializers: new Map([["w", { dtype: "float32", shape: [0], data: new Uint8Array(0) }]]),
});

test("readsOf(node) counts what its subgraphs take from around them, at any depth", () => {
  assert.deepEqual(readsOf(node("y = Relu(x)")), ["x"]);
  assert.deepEqual(readsOf(node("y = If(k)", { then_branch: outer })), ["k", "x", "c"]);
});

test("instanceOf(subgraph, scope) names what is the subgraph's own after the scope, at any depth", () => {
  const { nodes, initializers, outputs } = instanceOf(outer, "s/");
  assert.deepEqual(shown(nodes), ["s/h: s/h = Relu(x)", "s/i: s/i = If(c)"]);
  assert.deepEqual(shown(nodes[1]?.subgraphs?.then_branch?.nodes ?? []), ["t: t = Add(s/h,s/w)", "u: u = Mul(t,x)"]);
  assert.deepEqual([[...initializers.keys()], outputs], [["s/w"], ["s/i"]]);
});

test("instanceOf(subgraph, scope, inputs) reads what it is given for its inputs", () => {
  const body = graph([node("n = Add(i, x)")], ["n", "i"], { inputs: ["i"] });
  const { nodes, outputs } = instanceOf(body, "s/", ["step"]);
  assert.deepEqual([shown(nodes), outputs], [["s/n: s/n = Add(step,x)"], ["s/n", "step"]]);
});
