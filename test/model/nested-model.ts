import { encodeModel } from "../../src/model/onnx-proto.js";

/** A file whose tensors lie in all places: an initializer, a node's attribute, a branch of an If. */
export const nestedModel = encodeModel({
  irVersion: 8,
  opsetImport: [{ version: 17 }],
  graph: {
    name: "g",
    input: [{ name: "x" }],
    initializer: [{ name: "w", dims: [2], dataType: 1, rawData: Buffer.alloc(8, 1) }],
    node: [
      { opType: "Constant", output: ["c"], attribute: [{ name: "value_floats", type: 6, floats: [1, 2, 3] }] },
      {
        opType: "If",
        input: ["x"],
        output: ["y"],
        attribute: [
          {
            name: "then_branch",
            type: 5,
            g: { initializer: [{ name: "inner", dims: [1], dataType: 1, floatData: [7] }] },
          },
        ],
      },
    ],
  },
});
