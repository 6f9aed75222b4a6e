import assert from "node:assert/strict";
import { test } from "node:test";
import { attentionForm } from "../../src/ops/attention-form.js";
import { callOf } from "../../src/ops/call.js";
import { overThree } from "../fused.js";

/** An attention of two batches whose Q, K and V lie as said in one tensor of each model. */
const attention = (shape: string, form: string): string => `graph n(parameter float32[${shape}] x) => (y) {
  y, s = mutwo.Attention<scale=0.5, sizes=[2,4,2,5,5,8], ${form}>(x, x, x)
}`;

test("an attention of several models is one of all their batches, wherever Q, K and V lie in one tensor", () => {
  // [positions, batch, 8 heads, 8], and [batch, positions, 8 heads, 8]
  for (const [shape, form, joined, strides, y] of [
    ["5,2,64", "q=[0,64,8,128], k=[32,64,8,128], v=[48,64,8,128], position_axis=0", "5,6,64", [64, 8, 384], "5,6,4,8"],
    ["2,5,64", "q=[0,320,8,64], k=[32,320,8,64], v=[48,320,8,64], position_axis=1", "6,5,64", [320, 8, 64], "6,5,4,8"],
  ] as const) {
    const { nodes, shapes, tensors } = overThree(attention(shape, form));
    const node = nodes.find(({ op }) => op === "Attention");
    assert.ok(node, shapes.join());
    assert.equal(nodes.filter(({ op }) => op === "Attention").length, 1);
    const call = callOf(node, tensors);
    const { sizes, views } = attentionForm(call);
    assert.equal(sizes.batch, 6);
    assert.deepEqual(
      views.map(({ offset, strides }) => [offset, ...strides]),
      [0, 32, 48].map((offset) => [offset, ...strides]),
    );
    assert.equal(new Set(node.inputs).size, 1);
    assert.equal(tensors.get(node.inputs[0] as string)?.shape.join(), joined);
    assert.equal(tensors.get(node.outputs[0] as string)?.shape.join(), y);
  }
});

test("attentions whose batches lie inside of their positions' rows stay one for each model", () => {
  // [heads and positions, 2 batches, 8]: the batches of three models have no one stride
  const { nodes } = overThree(
    attention("5,8,2,8", "q=[0,8,16,128], k=[64,8,16,128], v=[96,8,16,128], position_axis=1"),
  );
  assert.equal(nodes.filter(({ op }) => op === "Attention").length, 3);
});
