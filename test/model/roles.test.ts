import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf } from "../../src/graph/values.js";
import type { Model, ModelNode } from "../../src/model/model.js";
import { roles } from "../../src/model/roles.js";

const node = (op: string, inputs: string[], output: string): ModelNode => ({
  name: output,
  domain: "",
  op,
  inputs,
  outputs: [output],
  attributes: {},
});

/** A model of float32 vectors. */
const modelOf = (initializers: Record<string, number[]>, nodes: ModelNode[]): Model => ({
  irVersion: 8,
  opset: 18,
  opsets: { "": 18 },
  producer: "pytorch 2.9",
  graphName: "g",
  inputs: [{ name: "x", dtype: "float32", dims: [2] }],
  outputs: [{ name: "y", dtype: "float32", dims: [2] }],
  initializers: new Map(
    Object.entries(initializers).map(([name, values]) => [
      name,
      { dtype: "float32" as const, shape: [values.length], data: bytesOf("float32", values) },
    ]),
  ),
  nodes,
  valueInfo: [],
  metadata: {},
  graphMetadata: {},
});

test("roles(model) says which parameters an exporter seems to have merged", () => {
  const nodes = [
    node("Add", ["x", "zero"], "a"),
    node("Add", ["a", "zero"], "b"),
    node("Mul", ["b", "w"], "c"),
    node("Mul", ["c", "w"], "y"),
  ];
  const { parameters, notes } = roles(modelOf({ zero: [0, 0], w: [1, 2] }, nodes));
  assert.deepEqual([...parameters], ["zero", "w"]);
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? "", /^1 parameters look merged: .* \(zero\);.*optimize=False/);
  assert.deepEqual(roles(modelOf({ zero: [0, 0], w: [1, 2] }, nodes.slice(2))).notes, []);
});

test("roles(model) refuses weights that are not numbers and takes infinite ones for masks", () => {
  const nodes = [node("Add", ["x", "w"], "a"), node("Add", ["a", "mask"], "y")];
  assert.throws(
    () => roles(modelOf({ w: [1, Number.NaN], mask: [0, 0] }, nodes)),
    /^Error: not a number: 1 of 2 values of w are NaN$/,
  );
  const { parameters, notes } = roles(modelOf({ w: [1, 2], mask: [0, Number.NEGATIVE_INFINITY] }, nodes));
  assert.deepEqual([...parameters], ["w"]);
  assert.match(notes[0] ?? "", /^1 initializers hold infinite values and count as constants: mask$/);
});
