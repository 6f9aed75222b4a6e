import assert from "node:assert/strict";
import { test } from "node:test";
import { int } from "../../src/graph/graph.js";
import { separatedNotes, withSeparate } from "../../src/model/merged.js";
import type { Model, ModelNode } from "../../src/model/model.js";
import { modelOf as model, vectorsOf } from "./model-of.js";

const norm = (name: string, inputs: string[]): ModelNode => ({
  name,
  domain: "",
  op: "BatchNormalization",
  inputs,
  outputs: [name],
  attributes: { training_mode: int(0) },
});

const same = (from: string, to: string): ModelNode => ({
  name: `same/${to}`,
  domain: "",
  op: "Identity",
  inputs: [from],
  outputs: [to],
  attributes: {},
});

const modelOf = (initializers: Record<string, number[]>, nodes: ModelNode[]): Model =>
  model(nodes, { producer: "pytorch 1.13", initializers: vectorsOf(initializers) });

const inputsOf = (model: Model): string[] => withSeparate(model).model.nodes.map(({ inputs }) => inputs.join(" "));

test("withSeparate(model) takes nodes that name a tensor of one number again for tensors", () => {
  const nodes = [
    same("a.weight", "a.var"),
    same("a.var", "b.weight"),
    same("fc", "tied"),
    same("a.weight", "y"),
    norm("n", ["x", "a.weight", "zero", "mean", "a.var"]),
    norm("m", ["n", "b.weight", "tied", "mean2", "var2"]),
  ];
  const tensors = { "a.weight": [1, 1], zero: [0, 0], fc: [1, 2], mean: [0, 0], mean2: [0, 1], var2: [1, 2] };
  const { model, separated } = withSeparate(modelOf(tensors, nodes));
  assert.deepEqual(separated, [
    { name: "a.var", from: "a.weight" },
    { name: "b.weight", from: "a.weight" },
  ]);
  assert.deepEqual(
    model.nodes.map(({ name }) => name),
    ["same/tied", "same/y", "n", "m"], // weights that are tied hold more than one number; an output stays one
  );
  assert.deepEqual(model.initializers.get("b.weight"), model.initializers.get("a.weight"));
  assert.match(separatedNotes(separated)[0] ?? "", /separate again: 2 \(a\.var, b\.weight\)$/);
  assert.deepEqual(separatedNotes([]), []);
});

test("withSeparate(model) gives each layer running statistics of its own, and none to two calls of one layer", () => {
  const scales = { s: [1, 2], b: [0, 1], s2: [2, 1] };
  const shared = { ones: [1, 1], zeros: [0, 0] };
  // all in one, and the names are lost
  const merged = modelOf(shared, [
    norm("n", ["x", "ones", "zeros", "zeros", "ones"]),
    norm("y", ["n", "ones", "zeros", "zeros", "ones"]),
  ]);
  assert.deepEqual(inputsOf(merged), ["x ones zeros zeros_2 ones_2", "n ones zeros zeros_3 ones_3"]);
  // of different layers
  const layers = [norm("n", ["x", "s", "b", "zeros", "ones"]), norm("y", ["n", "s2", "b", "zeros", "ones"])];
  assert.deepEqual(inputsOf(modelOf({ ...scales, ...shared }, layers)), ["x s b zeros ones", "n s2 b zeros_2 ones_2"]);
  // one layer, called twice
  const twice = [norm("n", ["x", "s", "b", "zeros", "ones"]), norm("y", ["n", "s", "b", "zeros", "ones"])];
  assert.deepEqual(withSeparate(modelOf({ ...scales, ...shared }, twice)).separated, []);
  // statistics that were measured are nobody else's
  const measured = { ...scales, mean: [0.5, 0.25], var: [1, 3] };
  const trained = [norm("n", ["x", "s", "b", "mean", "var"]), norm("y", ["n", "s2", "b", "mean", "var"])];
  assert.deepEqual(withSeparate(modelOf(measured, trained)).separated, []);
});
