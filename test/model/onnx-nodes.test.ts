import assert from "node:assert/strict";
import { test } from "node:test";
import { int } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import type { ModelNode } from "../../src/model/model.js";
import { sequencesAsSplits, sorted } from "../../src/model/onnx-nodes.js";

/** A node named after its first output: `node("y = Add(a, b)")`. */
function node(text: string, attributes: ModelNode["attributes"] = {}): ModelNode {
  const [outputs = "", op = "", inputs = ""] = text.split(/ = |\(|\)/);
  const names = (list: string): string[] => list.split(", ").filter((name) => name !== "");
  return { name: names(outputs)[0] ?? "", domain: "", op, inputs: names(inputs), outputs: names(outputs), attributes };
}

const shown = (nodes: readonly ModelNode[]): string[] =>
  nodes.map(({ op, inputs, outputs }) => `${outputs.join(", ")} = ${op}(${inputs.join(", ")})`);

test("sorted(nodes, given, outputs) puts makers before readers and keeps an order that is one", () => {
  const nodes = ["y = Add(b, a)", "a = Relu(x)", "b = Neg(a)"].map((text) => node(text));
  assert.deepEqual(shown(sorted(nodes, new Set(["x"]), ["y"]).nodes), ["a = Relu(x)", "b = Neg(a)", "y = Add(b, a)"]);
  const fine = ["b = Neg(x)", "a = Relu(x)", "y = Add(b, a)"].map((text) => node(text));
  assert.deepEqual(sorted(fine, new Set(["x"]), ["y"]), { nodes: fine, unmade: new Map() });
});

test("sorted(nodes, given, outputs) says which tensor is made twice, by nothing, or by itself", () => {
  const message = (texts: string[], outputs = ["y"]) => {
    try {
      const order = sorted(
        texts.map((text) => node(text)),
        new Set(["x"]),
        outputs,
      );
      return [...order.unmade.values()].map(({ message }) => message).join();
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(message(["y = Relu(x)", "y = Neg(x)"]), "duplicate tensor: y (node y)");
  assert.equal(message(["x = Relu(x)"], []), "duplicate tensor: x (node x)");
  assert.equal(message(["y = Relu(q)"]), "input that nothing makes: q (node y)");
  assert.equal(message(["y = Relu(x)"], ["z"]), "output that nothing makes: z");
  assert.equal(message(["y = Relu(z)", "z = Neg(y)"]), "cyclic graph: y (node z)");
});

/** `s = SplitToSequence(x, sizes)` along axis 1 of x [2,6], read at these positions. */
function split(sizes: number[], positions: number[], { dims = [2, 6] as (number | null)[], outputs = [""] } = {}) {
  const scalar = (value: number) => ({ dtype: "int64" as const, shape: [], data: bytesOf("int64", [value]) });
  const shape = sizes.length === 1 ? [] : [sizes.length];
  const constants = new Map([["sizes", { dtype: "int64" as const, shape, data: bytesOf("int64", sizes) }]]);
  for (const [i, at] of positions.entries()) constants.set(`at${i}`, { ...scalar(at), shape: [] });
  const nodes = [
    node("s = SplitToSequence(x, sizes)", { axis: int(1) }),
    ...positions.map((_, i) => node(`y${i} = SequenceAt(s, at${i})`)),
  ];
  const types = new Map([["x", { name: "x", dtype: "float32" as const, dims }]]);
  const made = sequencesAsSplits(nodes, constants, types, new Set(outputs));
  const data = constants.get("s/sizes")?.data;
  return { nodes: shown(made), sizes: data && valuesOf("int64", data) };
}

test("sequencesAsSplits(…) writes a split whose parts are read one by one as Split", () => {
  assert.deepEqual(split([2], [0, 2]), { nodes: ["y0, s/1, y1 = Split(x, s/sizes)"], sizes: [2, 2, 2] });
  assert.deepEqual(split([4], [0, -1]), { nodes: ["y0, y1 = Split(x, s/sizes)"], sizes: [4, 2] });
  assert.deepEqual(split([1, 5], [1]), { nodes: ["s/0, y0 = Split(x, s/sizes)"], sizes: [1, 5] });
});

test("sequencesAsSplits(…) gives a part that is read twice a second name", () => {
  assert.deepEqual(split([3], [1, 1]).nodes, ["s/0, y0 = Split(x, s/sizes)", "y1 = Identity(y0)"]);
});

test("sequencesAsSplits(…) counts the parts that are read where the dimension is not known, if they leave no gap", () => {
  assert.deepEqual(split([2], [0, 1], { dims: [2, null] }).sizes, [2, 2]);
  assert.equal(split([2], [0, 2], { dims: [2, null] }).sizes, undefined);
});

test("sequencesAsSplits(…) leaves sequences alone that are outputs, or read outside of their parts", () => {
  const plain = ["s = SplitToSequence(x, sizes)", "y0 = SequenceAt(s, at0)"];
  assert.deepEqual(split([2], [3]).nodes, plain);
  assert.deepEqual(split([2], [0], { outputs: ["s"] }).nodes, plain);
});
