import assert from "node:assert/strict";
import { test } from "node:test";
import type { Attribute } from "../../src/graph/graph.js";
import { readAttribute, writeAttribute } from "../../src/model/onnx-attributes.js";

const from = { file: "m.onnx", folder: null };

test("readAttribute(writeAttribute(name, value)) is the value", () => {
  const values: Attribute[] = [
    { type: "int", value: -1 },
    { type: "float", value: 0.01 },
    { type: "string", value: "ä" },
    { type: "ints", value: [1, -2] },
    { type: "floats", value: [0.5] },
    { type: "strings", value: ["a", ""] },
    { type: "tensor", value: { dtype: "uint8", shape: [2], data: Uint8Array.of(1, 2) } },
  ];
  for (const value of values) assert.deepEqual(readAttribute(writeAttribute("a", value), "n", from), value);
});

test("readAttribute(attribute) refuses kinds that it does not know, and element types by their names", () => {
  assert.throws(() => readAttribute({ name: "a", type: 11 }, "n", from), {
    message: "unsupported: attribute a (node n)",
  });
  assert.throws(() => readAttribute({ name: "a", type: 4, t: { dataType: 8, dims: [1] } }, "n", from), {
    message: "unsupported element type: string (n.a)",
  });
});
