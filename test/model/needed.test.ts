import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestorsOf, makersOf, neededPart } from "../../src/model/needed.js";
import { modelNode } from "./model-node.js";
import { modelOf } from "./model-of.js";

const number = { dtype: "float32", shape: [], data: new Uint8Array(4) } as const;

const model = modelOf(
  ["h = Relu(x)", "u = Unknown(z, v, text)", "y = Mul(h, w)"].map((text) => modelNode(text)),
  {
    inputs: ["x", "z"].map((name) => ({ name, dtype: "float32", dims: [2] })),
    initializers: new Map([
      ["w", number],
      ["v", number],
    ]),
    unreadable: new Map([["text", new Error("unsupported element type: string (text)")]]),
  },
);

test("neededPart(model, outputs) leaves out what they do not depend on, whatever it is", () => {
  const part = neededPart(model, ["y"]);
  assert.deepEqual(
    [part.nodes, part.inputs, part.outputs].map((list) => list.map(({ name }) => name)),
    [["h", "y"], ["x"], ["y"]],
  );
  assert.deepEqual([...part.initializers.keys()], ["w"]);
  assert.deepEqual(neededPart(model, ["h"]).outputs, [{ name: "h", dtype: "float32", dims: [] }]);
});

test("neededPart(model, outputs) throws why something that they need cannot be read", () => {
  assert.throws(() => neededPart(model, ["y", "u"]), { message: "unsupported element type: string (text)" });
});

test("ancestorsOf(wanted, makers, reads, known) asks nothing behind what is known", () => {
  const found = ancestorsOf(["y"], makersOf(model.nodes), undefined, new Set(["h"]));
  assert.deepEqual(found.names, new Set(["y", "w", "h"]));
  assert.deepEqual(
    [...found.nodes].map(({ name }) => name),
    ["y"],
  );
});
