import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { hasCudaKernel } from "../../src/runtime/cuda-kernels.js";
import { at } from "../at.js";
import { tsx } from "../program.js";
import { stubCuda } from "../stub-cuda.js";

const stub = stubCuda();

const skip = "reason" in stub && stub.reason;

test("hasCudaKernel(node) goes by op and element types", () => {
  const has = (text: string): boolean[] => {
    const graph = parseGraph(text);
    return graph.nodes.map((node) => hasCudaKernel(node, graph));
  };
  assert.deepEqual(has("graph(float32[3] x, int64[3] i) => (y, z, t) { y = Exp(x)  z = Tan(x)  t = Abs(i) }"), [
    true,
    false,
    true,
  ]);
  assert.deepEqual(has("graph(bfloat16[3,4] x) => (y, z) { y = Softmax(x)  z = LogSoftmax(x) }"), [true, false]);
});

test("what an estimate has kernels for is what ONNX Runtime's CUDA provider has, for every sample and type", {
  skip,
}, () => {
  if ("reason" in stub) return;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...tsx, at("stub-kernels.ts")], {
    encoding: "utf8",
    env: stub.env,
    maxBuffer: 2 ** 26,
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^\d{4,} nodes compared\n$/);
});
