import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeModel } from "../../src/model/onnx-proto.js";
import { readWire } from "../../src/model/onnx-wire.js";

const bytes = encodeModel({
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

test("readWire(bytes) finds every tensor and where its elements lie", () => {
  const { tensors, inputs, nodes } = readWire(bytes);
  assert.deepEqual(
    tensors.map(({ name, isOfModel, data }) => [
      name,
      isOfModel,
      data.reduce((sum, { begin, end }) => sum + end - begin, 0),
    ]),
    [
      ["c", true, 12],
      ["inner", false, 4],
      ["w", true, 8],
    ],
  );
  assert.deepEqual([...inputs], ["x"]);
  assert.deepEqual(
    nodes.map(({ op }) => op),
    ["Constant", "If"],
  );
  for (const end of [1, 10, bytes.length - 1])
    assert.throws(() => readWire(bytes.subarray(0, end)), RangeError, `cut at ${end}`);
});
