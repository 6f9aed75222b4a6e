import assert from "node:assert/strict";
import { test } from "node:test";
import { valuesOf } from "../../src/graph/values.js";
import { Writer } from "../../src/model/expansion.js";
import type { ModelNode } from "../../src/model/model.js";

const origin: ModelNode = { name: "n", domain: "", op: "Loop", inputs: [], outputs: [], attributes: {} };

const shown = ({ nodes }: Writer): string[] =>
  nodes.map(({ op, inputs, outputs, attributes }) => {
    const given = Object.entries(attributes).map(([name, { value }]) => `${name}=${value}`);
    return `${outputs} = ${op}(${[...inputs, ...given]})`;
  });

test("Writer takes a tensor to pieces and puts tensors together, with axes as inputs from opset 13 on", () => {
  const writer = new Writer(18, origin, "s/");
  assert.deepEqual(writer.pieces("x", 1, [1, 1], false), ["s/value_1", "s/value_2"]);
  writer.joined(["a", "b"], -1, true, "y");
  assert.deepEqual(shown(writer), [
    "s/value_0_0,s/value_0_1 = Split(x,s/const_0,axis=1)",
    "s/value_1 = Squeeze(s/value_0_0,s/const_1)",
    "s/value_2 = Squeeze(s/value_0_1,s/const_2)",
    "s/value_3 = Unsqueeze(a,s/const_3)",
    "s/value_4 = Unsqueeze(b,s/const_4)",
    "y = Concat(s/value_3,s/value_4,axis=-1)",
  ]);
  const values = [...writer.initializers.values()].map(({ dtype, data }) => valuesOf(dtype, data));
  assert.deepEqual(values, [[1, 1], [1], [1], [-1], [-1]]);
});

test("Writer writes axes as attributes before opset 13, one piece as the tensor itself, and none of none", () => {
  const writer = new Writer(11, origin, "s/");
  writer.pieces("x", 0, [2, 3], true);
  assert.deepEqual(writer.pieces("x", 0, [5], true), ["s/value_1_0"]);
  assert.deepEqual(writer.pieces("x", 0, [], true), []);
  writer.joined(["a", "b"], 0, false, "y");
  assert.deepEqual(shown(writer), [
    "s/value_0_0,s/value_0_1 = Split(x,axis=0,split=2,3)",
    "s/value_1_0 = Identity(x)",
    "y = Concat(a,b,axis=0)",
  ]);
  assert.equal(writer.initializers.size, 0);
});
