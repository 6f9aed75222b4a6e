import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { expand } from "../../src/build/expand.js";
import { parseGraph } from "../../src/build/text.js";
import { elementCount, type Node, tensorOf } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { convBody, convTransposeBody, crop, filterGradientBody } from "../../src/ops/convolution-body.js";
import type { Body } from "../../src/ops/op.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { distance, graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** What a body makes of a graph's only node: the values of its output, the ops that it consists of. */
async function bodyOf(text: string, body: Body) {
  const graph = parseGraph(text);
  const [node] = graph.nodes as [Node];
  const b = new Builder(graph, false);
  const { nodes = [], results = [] } = expand(b, node, body) ?? {};
  const whole = { ...graphOf(b, results), nodes, inputs: graph.inputs };
  const inputs = graph.inputs.map((name) => {
    const { dtype, shape } = tensorOf(graph, name);
    return { dtype, shape, values: Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i + shape.length)) };
  });
  const step = loaded(lower(whole, cpu.hasKernel), cpu);
  const made = await step.run(new Map(graph.inputs.map((name, i) => [name, inputs[i]?.values ?? []])));
  step.close();
  const native = inputs.map(({ dtype, shape, values }) => ({ dtype, shape, data: bytesOf(dtype, values) }));
  const [expected] = cpu.hasKernel(node, graph) ? cpu.evaluate(node, native) : [];
  return {
    ops: nodes.map(({ op }) => op),
    y: made.get(results[0] as string) ?? [],
    expected: expected ? valuesOf(expected.dtype, expected.data) : undefined,
  };
}

for (const [what, text, body] of [
  [
    "convBody: strides, pads, spread windows, groups, a bias",
    "graph(float32[2,4,7] x, float32[6,2,3] w, float32[6] b) => (y) { y = Conv<strides=[2], pads=[1,2], dilations=[2], group=2>(x, w, b) }",
    convBody,
  ],
  [
    "convBody: a product for each channel",
    "graph(float32[1,3,4,5] x, float32[3,1,2,2] w) => (y) { y = Conv<group=3>(x, w) }",
    convBody,
  ],
  [
    "convTransposeBody: strides, pads, groups",
    "graph(float32[1,4,3,3] x, float32[4,2,3,3] w) => (y) { y = ConvTranspose<strides=[2,1], pads=[1,1,1,1], group=2>(x, w) }",
    convTransposeBody,
  ],
  [
    "convTransposeBody: a bias, pads beyond the kernel's extent",
    "graph(float32[2,3,4] x, float32[3,2,2] w, float32[2] b) => (y) { y = ConvTranspose<pads=[2,0], strides=[2]>(x, w, b) }",
    convTransposeBody,
  ],
] as const)
  test(`${what} give what the kernel gives`, async () => {
    const { y, expected } = await bodyOf(text, body);
    assert.ok(expected?.length);
    assert.ok(distance(y, expected) < 1e-6);
  });

/** dW[m,c,k] = Σ X[n, c, p·stride + k − pad]·dY[n,m,p] of one group. */
function filterGradient(n: number, c: number, m: number, size: number, kernel: number, stride: number, pad: number) {
  const places = Math.floor((size + 2 * pad - kernel) / stride) + 1;
  const at = (i: number): number => Math.sin(i + 3);
  return Array.from({ length: m * c * kernel }, (_, i) => {
    const [k, channel, out] = [i % kernel, Math.floor(i / kernel) % c, Math.floor(i / kernel / c)];
    let sum = 0;
    for (let image = 0; image < n; image++)
      for (let p = 0; p < places; p++) {
        const from = p * stride + k - pad;
        if (from >= 0 && from < size)
          sum += at((image * c + channel) * size + from) * at((image * m + out) * places + p);
      }
    return sum;
  });
}

for (const [how, n, c, m, size, kernel, stride, pad] of [
  ["a product for each place of a small kernel", 2, 3, 2, 9, 3, 2, 1],
  ["one convolution for a large one", 2, 2, 3, 24, 10, 3, 0],
] as const)
  test(`filterGradientBody(X, dY) is ${how}`, async () => {
    const places = Math.floor((size + 2 * pad - kernel) / stride) + 1;
    const text = `graph(float32[${n},${c},${size}] x, float32[${n},${m},${places}] dy) => (dw) { dw = mutwo.ConvFilterGradient<kernel_shape=[${kernel}], strides=[${stride}], pads=[${pad},${pad}]>(x, dy) }`;
    const { ops, y } = await bodyOf(text, filterGradientBody);
    assert.ok(distance(y, filterGradient(n, c, m, size, kernel, stride, pad)) < 1e-5);
    assert.equal(ops.includes("Conv"), kernel > 9);
  });

test("crop(b, x, starts, sizes) cuts the spatial axes; x itself if that is all of it", () => {
  const b = new Builder();
  b.declare({ name: "x", dtype: "float32", shape: [2, 3, 5, 4], category: "input" });
  assert.equal(crop(b, "x", [0, 0], [5, 4]), "x");
  assert.deepEqual(b.type(crop(b, "x", [1, 0], [3, 4])).shape, [2, 3, 3, 4]);
});
