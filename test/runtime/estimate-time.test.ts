import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { readDeviceSpec } from "../../src/runtime/device-spec.js";
import { fittedEfficiencies } from "../../src/runtime/efficiency.js";
import { estimatedCopyMs, estimatedMs, type Work, workOf } from "../../src/runtime/estimate-time.js";

const works = (text: string, tf32 = true): (Work | undefined)[] => {
  const graph = parseGraph(text);
  return graph.nodes.map((node) => workOf(node, graph, tf32));
};

const kinds = (text: string, tf32 = true): unknown[] =>
  works(text, tf32).map((work) => work && [work.kind, work.flops, work.peak, work.bytes]);

test("workOf(node): products have exact operations; those in TF32 whose operands do not lie along the sum are strided", () => {
  const product = (attributes: string, dtype = "float32"): string =>
    `graph(${dtype}[8,16] a, ${dtype}[16,16] b) => (y) { y = Gemm<${attributes}>(a, b) }`;
  const flops = 2 * 8 * 16 * 16;
  assert.deepEqual(kinds(product("transB=1")), [["product", flops, "tf32Tflops", 4 * (2 * 8 * 16 + 16 * 16)]]);
  assert.deepEqual(kinds(product("transB=0"))[0], ["stridedProduct", flops, "tf32Tflops", 4 * (2 * 8 * 16 + 16 * 16)]);
  assert.deepEqual(
    [
      works(product("transB=0"), false),
      works(product("transB=0", "float16")),
      works(product("transB=0", "float64")),
    ].map(([work]) => [work?.kind, work?.peak]),
    [
      ["product", "float32Tflops"],
      ["product", "float16Tflops"],
      ["product", "float64Tflops"],
    ],
  );
});

test("workOf(node): rows that do not start on 16-byte boundaries, and a bias, are noticed", () => {
  const [odd] = works("graph(float32[8,15] a, float32[16,15] b) => (y) { y = Gemm<transB=1>(a, b) }");
  assert.deepEqual([odd?.unaligned, odd?.biasBytes], [true, 0]);
  const [bias] = works(
    "graph(float32[8,16] a, float32[16,16] b, float32[16] c) => (y) { y = Gemm<transB=1>(a, b, c) }",
  );
  assert.deepEqual([bias?.unaligned, bias?.biasBytes], [false, 4 * 8 * 16]);
});

test("workOf(node): convolutions with few channels run without tensor cores", () => {
  const convolution = (channels: number): string =>
    `graph(float32[2,${channels},4,4] x, float32[16,${channels},1,1] w) => (y) { y = Conv<kernel_shape=[1,1]>(x, w) }`;
  const flops = (channels: number): number => 2 * 2 * 16 * 16 * channels;
  assert.deepEqual(
    works(convolution(3)).map((work) => [work?.kind, work?.peak, work?.flops]),
    [["narrowConvolution", "float32Tflops", flops(3)]],
  );
  assert.deepEqual(
    works(convolution(16)).map((work) => [work?.kind, work?.peak, work?.flops]),
    [["convolution", "tf32Tflops", flops(16)]],
  );
});

test("workOf(node): what is bound by memory reads and writes each byte once; views run nothing", () => {
  assert.deepEqual(
    kinds(`graph(float32[100,4] x, int64[2] i) => (e, r, g, v) {
      e = Exp(x)
      r = ReduceSum(x, int64[1]{1})
      g = Gather(x, i)
      v = Flatten(x)
    }`),
    [
      ["elements", 400, "float32Tflops", 3200],
      ["rows", 400, "float32Tflops", 1600 + 8 + 400],
      // two rows of a hundred are read
      ["movement", 0, "float32Tflops", 2 * 32],
      undefined,
    ],
  );
});

test("estimatedMs(work) is the greater of both times, after the launch", () => {
  const spec = { ...readDeviceSpec("h100"), launchUs: 1000, memoryGBs: 1, float32Tflops: 1e-3, tf32Tflops: 2e-3 };
  const ideal = { launches: 1, compute: 1, memory: 0.5 };
  const shares = { ...fittedEfficiencies, product: ideal, elements: ideal, unaligned: 0.25 };
  const work: Work = { kind: "product", flops: 6e6, peak: "tf32Tflops", bytes: 1e6, unaligned: false, biasBytes: 0 };
  assert.equal(estimatedMs(work, spec, shares), 1 + 3);
  assert.equal(estimatedMs({ ...work, bytes: 4e6 }, spec, shares), 1 + 8);
  assert.equal(estimatedMs({ ...work, unaligned: true }, spec, shares), 1 + 12);
  assert.equal(estimatedMs({ ...work, peak: "float32Tflops" }, spec, shares), 1 + 6);
  assert.equal(estimatedMs({ ...work, biasBytes: 1e6 }, spec, shares), 1 + 3 + 1 + 4);
  assert.equal(estimatedCopyMs(1e6, 2, { ...spec, linkLatencyUs: 500 }, 0.5), 0.5 + 1);
});
