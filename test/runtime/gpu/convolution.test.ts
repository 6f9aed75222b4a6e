import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node, Tensor } from "../../../src/graph/graph.js";
import { convolution } from "../../../src/runtime/gpu/convolution.js";
import { fakeContext } from "./fake-gpu.js";

const means = { cudnn: { supports: (dtype: string) => dtype !== "int8" }, compiles: false, deterministic: true };

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
    return convolution.fits(graph.nodes[0] as Node, placed, { ...means, deterministic: false });
  };
  assert.deepEqual([0, 16, 232].map(at), [false, false, true]);
});

test("a bias is added by a call more: where the bits must be the same each time", () => {
  const text = "Conv<kernel_shape=[3,3]>(x, w, b)";
  assert.deepEqual([fits(text), fits(text, false)], [true, false]);
  const graph = parseGraph(`graph(float32[2,3,8,8] x, float32[4,3,3,3] w, float32[4] b) => (y) { y = ${text} }`);
  const { context, lines, address } = fakeContext(graph, { deterministic: true });
  const one = { workspaceBytes: 0, ms: 1, run: () => void lines.push("convolution") };
  context.convolutions.get = () => [one];
  convolution.prepare(graph.nodes[0] as Node, context)();
  const added = `cudnnAddTensor 7 ${address("b")} 7 ${address("y")}`; // descriptor and place of each
  assert.deepEqual(lines, ["convolution", added]);
});

test("ONNX Runtime runs a convolution with pads that differ, or with pads that follow from its size", () => {
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[0,0,1,1]>(x, w)"), false);
  assert.equal(fits('Conv<kernel_shape=[3,3], auto_pad="SAME_UPPER">(x, w)'), false);
});
