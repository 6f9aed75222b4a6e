import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node, Tensor } from "../../../src/graph/graph.js";
import { convolution } from "../../../src/runtime/gpu/convolution.js";

const means = {
  cudnn: { supports: (dtype: string) => dtype !== "int8" },
  compiles: false,
  deterministic: true,
  tf32: true,
  attends: true,
};

const fits = (text: string, deterministic = true): boolean => {
  const graph = parseGraph(`graph(float32[2,3,8,8] x, float32[4,3,3,3] w, float32[4] b) => (y) { y = ${text} }`);
  return convolution.fits(graph.nodes[0] as Node, graph, { ...means, deterministic });
};

test("cuDNN runs a convolution where the bits must be the same each time", () => {
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)"), true);
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)", false), false);
});

test("cuDNN runs a convolution whose filter lies in a flat buffer where ONNX Runtime's kernels fail", () => {
  const graph = parseGraph(
    "graph(float32[2,3,8,8] x, float32[4,3,3,3] w) => (y) { y = Conv<kernel_shape=[3,3]>(x, w) }",
  );
  const at = (offsetBytes: number): boolean => {
    const w = { ...(graph.tensors.get("w") as Tensor), within: { tensor: "parameters", offsetBytes } };
    const placed = { ...graph, tensors: new Map([...graph.tensors, ["w", w] as const]) };
    return convolution.fits(graph.nodes[0] as Node, placed, {
      ...means,
      deterministic: false,
      tf32: true,
      attends: true,
    });
  };
  assert.deepEqual([0, 16, 232].map(at), [false, false, true]);
});

test("ONNX Runtime runs a convolution with a bias, with pads that differ, or with pads that follow from its size", () => {
  assert.equal(fits("Conv<kernel_shape=[3,3]>(x, w, b)"), false);
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[0,0,1,1]>(x, w)"), false);
  assert.equal(fits('Conv<kernel_shape=[3,3], auto_pad="SAME_UPPER">(x, w)'), false);
});
