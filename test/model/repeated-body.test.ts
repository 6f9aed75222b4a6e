import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModelNode, Subgraph } from "../../src/model/model.js";
import { repeatedBody } from "../../src/model/repeated-body.js";

const node = (name: string, op: string, inputs: string[], output: string): ModelNode => ({
  name,
  domain: "",
  op,
  inputs,
  outputs: [output],
  attributes: {},
});

const weight = { dtype: "float32" as const, shape: [1], data: new Uint8Array(4) };

const body: Subgraph = {
  inputs: ["t", "x"],
  outputs: ["y", "n"],
  initializers: new Map([["w", weight]]),
  nodes: [
    node("turn", "Neg", ["w"], "v"),
    node("noise", "RandomNormal", [], "n"),
    node("/m/mul", "Mul", ["x", "v"], "p"),
    node("/m/add", "Add", ["p", "outer"], "y"),
  ],
  unreadable: new Map(),
};

const loop: ModelNode = { ...node("/m/Loop", "Loop", [], "r"), subgraphs: { body } };

const shown = (nodes: readonly ModelNode[]): string[] =>
  nodes.map(({ name, op, inputs, outputs }) => `${name}: ${outputs} = ${op}(${inputs})`);

test("repeatedBody(node, scope) writes weights and what is made of them once", () => {
  const { once } = repeatedBody(loop, "s/");
  assert.deepEqual(shown(once.nodes), ["s/once/turn: s/once/v = Neg(s/once/w)"]);
  assert.deepEqual([...once.initializers], [["s/once/w", weight]]);
});

test("repeatedBody(node, scope).run(i, inputs) has names of its own, draws its own numbers and reads what is around it", () => {
  const run = repeatedBody(loop, "s/").run(3, ["s/t", "h"]);
  assert.deepEqual(shown(run.nodes), [
    "/m/noise.3: s/run/3/n = RandomNormal()",
    "/m/mul.3: s/run/3/p = Mul(h,s/once/v)",
    "/m/add.3: s/run/3/y = Add(s/run/3/p,outer)",
  ]);
  assert.deepEqual(run.outputs, ["s/run/3/y", "s/run/3/n"]);
  assert.equal(run.initializers.size, 0);
});

test("repeatedBody(node, scope) refuses a node without a body, and a run with other inputs than the body has", () => {
  assert.throws(() => repeatedBody(node("l", "Loop", [], "r"), "s/"), /^Error: Loop lacks its body \(node l\)$/);
  assert.throws(() => repeatedBody(loop, "s/").run(0, ["h"]), /^Error: shape mismatch: 1 inputs for a body of 2/);
});
