import assert from "node:assert/strict";
import { test } from "node:test";
import { inInference } from "../../src/model/inference-edits.js";
import { edited } from "../../src/model/onnx-edit.js";
import { decodeModel, encodeModel } from "../../src/model/onnx-proto.js";
import { readWire } from "../../src/model/onnx-wire.js";

test("inInference(node) takes a batch norm and a dropout out of training, and leaves other nodes alone", () => {
  const mode = { name: "training_mode", type: 2, i: 1 };
  const bytes = encodeModel({
    graph: {
      node: [
        {
          opType: "BatchNormalization",
          input: ["x", "s", "b", "m", "v"],
          output: ["y", "m2", "v2"],
          attribute: [mode],
        },
        { opType: "Dropout", input: ["y", "ratio", "on"], output: ["d"] },
        { opType: "Dropout", input: ["d", "ratio"], output: ["e"] },
        { opType: "Other", domain: "own", input: ["e"], output: ["f", "g"], attribute: [mode] },
      ],
    },
  });
  const { nodes } = readWire(bytes);
  const made = decodeModel(Buffer.concat(edited(bytes, nodes.flatMap(inInference)))).graph?.node ?? [];
  assert.deepEqual(
    made.map(({ input, output, attribute }) => [input, output, attribute?.map(({ i }) => Number(i))]),
    [
      [["x", "s", "b", "m", "v"], ["y"], [0]],
      [["y", "ratio", ""], ["d"], []],
      [["d", "ratio"], ["e"], []],
      [["e"], ["f", "g"], [1]],
    ],
  );
});
