import assert from "node:assert/strict";
import { test } from "node:test";
import { oneAfterAnother, shifted, withModels } from "../../src/ops/over-models.js";
import { overThree } from "../fused.js";

test("shapes of several models: an axis of their own, or the channels one after another", () => {
  assert.deepEqual(withModels([2, 5], 3, 0), [3, 2, 5]);
  assert.deepEqual(withModels([2, 5], 3, 1), [2, 3, 5]);
  assert.deepEqual(oneAfterAnother([2, 5], 3, 1), [2, 15]);
  assert.deepEqual([shifted(0, 0), shifted(0, 1), shifted(1, 1)], [1, 0, 2]);
});

test("a chain of convolution, batch norm and pooling keeps models and channels as one axis, moved once", () => {
  const { shapes, nodes } = overThree(`graph n(float32[2,4,8,8] x, parameter float32[6,2,3,3] w, parameter float32[6] b,
    parameter float32[6] s, parameter float32[6] o, buffer float32[6] m, buffer float32[6] v) => (z) {
    c = Conv<group=2, pads=[1,1,1,1]>(x, w, b)
    n, nm, nv = mutwo.BatchNormalization(c, s, o, m, v)
    r = Relu(n)
    p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
    q = Add(p, p)
    g = GlobalAveragePool(q)
    z = Flatten(g)
  }`);
  assert.deepEqual(shapes, [
    "Transpose [2,3,4,8,8]",
    "Reshape [2,12,8,8]",
    "Conv [2,18,8,8]",
    "BatchNormalization [2,18,8,8]",
    "Relu [2,18,8,8]",
    "Reshape [6,6,8,8]",
    "MaxPool [6,6,4,4]",
    "Reshape [2,18,4,4]",
    "Add [2,18,4,4]",
    "Reshape [6,6,4,4]",
    "GlobalAveragePool [6,6,1,1]",
    "Reshape [2,3,6]",
  ]);
  assert.equal(nodes.find(({ op }) => op === "Conv")?.attributes.group?.value, 6);
});

test("a norm over rows is one without scale and bias, then each model's own", () => {
  const { shapes } = overThree(
    "graph n(float32[5,4] x, parameter float32[4] s, parameter float32[4] b) => (y) { y = LayerNormalization(x, s, b) }",
  );
  assert.deepEqual(shapes, ["LayerNormalization [3,5,4]", "Mul [3,5,4]", "Add [3,5,4]"]);
});
