import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType } from "../../src/graph/graph.js";
import type { Model } from "../../src/model/model.js";
import { wantedOutputs } from "../../src/model/wanted.js";
import { modelNode } from "./model-node.js";

const modelOf = (nodes: readonly string[], outputs: Readonly<Record<string, DType>>) =>
  ({
    nodes: nodes.map((text) => modelNode(text)),
    outputs: Object.entries(outputs).map(([name, dtype]) => ({ name, dtype, dims: [] })),
  }) as unknown as Model;

const model = modelOf(
  ["a = Identity(x)", "b = Reshape(a, shape)", "h = MatMul(b, w)", "i = ArgMax(h)", "y = Relu(h)"],
  {
    i: "int64",
    x: "float32",
    b: "float32",
    y: "float32",
  },
);

test("wantedOutputs(model) are all outputs, or the one that is named, an inner tensor too", () => {
  assert.deepEqual(wantedOutputs(model, undefined), { names: ["i", "x", "b", "y"], notes: [] });
  assert.deepEqual(wantedOutputs(model, "h"), { names: ["h"], notes: [] });
  assert.throws(() => wantedOutputs(model, "z"), /^Error: unknown output: z \(one of i, x, b, y\)$/);
});

test("wantedOutputs(model, null) is the first of floats that is no input handed on, which a note says", () => {
  const notes = ["the loss is of output y: x is only x handed on"];
  assert.deepEqual(wantedOutputs(model, null), { names: ["y"], notes });
  const through = modelOf(["a = Identity(x)", "y = Relu(a)"], { a: "float32", y: "float32" });
  assert.deepEqual(wantedOutputs(through, null).notes, ["the loss is of output y: a is only x handed on"]);
  const alone = modelOf(["a = Identity(x)"], { a: "float32" });
  assert.deepEqual(wantedOutputs(alone, null), { names: ["a"], notes: [] });
  const circle = modelOf(["a = Identity(b)", "b = Identity(a)"], { a: "float32" });
  assert.deepEqual(wantedOutputs(circle, null), { names: ["a"], notes: [] });
  const unknown = modelOf(["a = Frobnicate(x)"], { a: "float32" });
  assert.deepEqual(wantedOutputs(unknown, null), { names: ["a"], notes: [] });
  assert.throws(() => wantedOutputs(modelOf([], {}), null), /^Error: no output$/);
});
