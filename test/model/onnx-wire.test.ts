import assert from "node:assert/strict";
import { test } from "node:test";
import { readWire } from "../../src/model/onnx-wire.js";
import { nestedModel as bytes } from "./nested-model.js";

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
