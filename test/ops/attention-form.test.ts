import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { tensorOf } from "../../src/graph/graph.js";
import {
  type AttentionForm,
  attentionAttributes,
  attentionForm,
  laidOut,
  viewAlone,
} from "../../src/ops/attention-form.js";
import { callOf } from "../../src/ops/call.js";

const sizes = { batch: 2, heads: 4, kvHeads: 2, queries: 3, keys: 5, width: 8 };

const form: AttentionForm = {
  scale: 0.5,
  ahead: 1,
  zeroHidden: true,
  sizes,
  views: [viewAlone([2, 4, 3, 8], 0), viewAlone([2, 2, 5, 8], 1), { offset: 16, strides: [160, 8, 32] }],
  positionAxis: 1,
};

/** An attention of that form. */
function build(given: AttentionForm) {
  const b = new Builder();
  const [q, k, v] = [
    [3, 2, 4, 8],
    [2, 5, 2, 8],
    [2, 5, 32],
  ].map((shape, i) => b.declare({ name: `x${i}`, dtype: "float32", shape, category: "input" }));
  b.add("Attention", [q, k, v], attentionAttributes(given), { domain: "mutwo", outputs: ["y", "statistics"] });
  return b;
}

test("attentionForm(node) is what attentionAttributes(form) wrote", () => {
  const b = build(form);
  const [node] = b.nodes;
  assert.ok(node);
  assert.deepEqual(attentionForm(callOf(node, b.tensors)), form);
  assert.deepEqual(tensorOf({ name: "", tensors: b.tensors }, "y").shape, [2, 3, 4, 8]);
});

test("viewAlone(sizes, axis) lies as laidOut(sizes, axis) says", () => {
  const all = [2, 4, 3, 8] as const;
  assert.deepEqual(
    ([0, 1, 2] as const).map((axis) => [laidOut(all, axis), viewAlone(all, axis).strides]),
    [
      [
        [3, 2, 4, 8],
        [32, 8, 64],
      ],
      [
        [2, 3, 4, 8],
        [96, 8, 32],
      ],
      [
        [2, 4, 3, 8],
        [96, 24, 8],
      ],
    ],
  );
});

test("a fused attention refuses views that reach beyond their tensors, and heads that share unevenly", () => {
  const [q, k] = form.views;
  const refused = (views: AttentionForm["views"], more: Partial<AttentionForm["sizes"]> = {}): void =>
    assert.throws(() => build({ ...form, views, sizes: { ...sizes, ...more } }), /shape mismatch/);
  refused([q, k, { offset: 17, strides: [160, 8, 32] }]);
  refused([{ ...q, strides: [32, 8, 65] }, k, form.views[2]]);
  refused(form.views, { kvHeads: 3 });
  refused(form.views, { keys: 0 });
});
