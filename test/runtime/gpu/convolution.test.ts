import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node, Tensor } from "../../../src/graph/graph.js";
import { convolution } from "../../../src/runtime/gpu/convolution.js";
import { stridesOf } from "../../../src/runtime/gpu/cudnn.js";
import type { Convolution } from "../../../src/runtime/gpu/cudnn-convolutions.js";
import { fakeCudnn, withCache } from "./fake-cudnn.js";
import { fakeContext } from "./fake-gpu.js";

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

test("cuDNN runs a convolution, its transpose and its filter's gradient", () => {
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)"), true);
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)", false), true);
  const graph = parseGraph(
    "graph(float32[2,4,8,8] y, float32[4,3,3,3] w) => (x) { x = ConvTranspose<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(y, w) }",
  );
  assert.equal(convolution.fits(graph.nodes[0] as Node, graph, means), true);
});

test("a transposed convolution whose pads follow from its output's shape is left to ONNX Runtime", () => {
  const graph = parseGraph(
    "graph(float32[2,4,8,8] y, float32[4,3,3,3] w) => (x) { x = ConvTranspose<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(y, w) }",
  );
  const x = { ...(graph.tensors.get("x") as Tensor), shape: [2, 3, 19, 19] };
  const other = { ...graph, tensors: new Map([...graph.tensors, ["x", x] as const]) };
  assert.equal(convolution.fits(graph.nodes[0] as Node, other, means), false);
});

const folder = mkdtempSync(path.join(os.tmpdir(), "mutwo-convolution-"));

after(() => rmSync(folder, { recursive: true }));

/** How a step's convolution runs when its operands lie at these addresses. */
function run(addresses: Readonly<Record<string, bigint>>) {
  const graph = parseGraph(
    "graph(float32[2,3,8,8] x, float32[4,3,3,3] w) => (y) { y = Conv<kernel_shape=[3,3]>(x, w) }",
  );
  const fake = fakeContext(graph);
  const cudnn = fakeCudnn({ A: [{ engine: 5 }] });
  const context = { ...fake.context, cudnn: cudnn.cudnn, address: (name: string) => addresses[name] as bigint };
  withCache(folder, () => convolution.prepare(graph.nodes[0] as Node, context)());
  return { ...cudnn, keys: [...context.convolutions.keys()].map((key) => JSON.parse(key)) };
}

test("plans are made for the alignment that the operands have, and run on them", () => {
  const { keys, lines } = run({ x: 4096n, w: 8192n, y: 12288n });
  assert.equal(keys[0].alignment, 16);
  assert.equal(lines.at(-1), "execute 5: ids 1,2,3 at 4096,8192,12288, workspace 0");
  assert.deepEqual(
    [8n, 4n, 2n].map((odd) => run({ x: 4096n, w: 8192n + odd, y: 12288n }).keys[0].alignment),
    [8, 4, 2],
  );
});

test("a bias is added by a call more: where the bits must be the same each time", () => {
  const text = "Conv<kernel_shape=[3,3]>(x, w, b)";
  assert.deepEqual([fits(text), fits(text, false)], [true, false]);
  const graph = parseGraph(`graph(float32[2,3,8,8] x, float32[4,3,3,3] w, float32[4] b) => (y) { y = ${text} }`);
  const { context, lines, address } = fakeContext(graph, { deterministic: true });
  const recipe = { algorithm: 0 } as unknown as Convolution["recipe"];
  const one = { workspaceBytes: 0, ms: 1, recipe, run: () => void lines.push("convolution"), destroy: () => {} };
  context.convolutions.get = () => [one];
  convolution.prepare(graph.nodes[0] as Node, context)();
  const added = `cudnnAddTensor 7 ${address("b")} 7 ${address("y")}`; // descriptor and place of each
  assert.deepEqual(lines, ["convolution", added]);
});

test("ONNX Runtime runs a convolution with pads that differ, or with pads that follow from its size", () => {
  assert.equal(fits("Conv<kernel_shape=[3,3], pads=[0,0,1,1]>(x, w)"), false);
  assert.equal(fits('Conv<kernel_shape=[3,3], auto_pad="SAME_UPPER">(x, w)'), false);
});

test("a step's first run takes the way that later runs take, in what lies idle in the arena", () => {
  const graph = parseGraph(
    "graph(float32[2,3,8,8] x, float32[4,3,3,3] w) => (y) { y = Conv<kernel_shape=[3,3]>(x, w) }",
  );
  const { context, lines } = fakeContext(graph);
  const recipe = { algorithm: 0 } as unknown as Convolution["recipe"];
  const way = (workspaceBytes: number): Convolution => ({
    workspaceBytes,
    ms: 1,
    recipe,
    run: (_a, _b, _out, workspace) => void lines.push(`${workspaceBytes} bytes at ${workspace}`),
    destroy: () => {},
  });
  const [large, idleAt] = [2 ** 29, 2n ** 40n];
  context.convolutions.get = () => [way(large), way(0)];
  const launch = convolution.prepare(graph.nodes[0] as Node, context);
  for (const isFirst of [true, false]) context.workspace.during(launch, { at: idleAt, bytes: large }, isFirst);
  assert.deepEqual(lines, [`${large} bytes at ${idleAt}`, `${large} bytes at ${idleAt}`]);
});

const last = `graph(float32[2,8,8,3] x, float32[4,3,3,3] w) => (y) {
  y = mutwo.ConvChannelsLast<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)
}`;

test("a convolution with channels last runs where cuDNN has a plan for it, and never in float64", () => {
  const specs: unknown[] = [];
  const ask = (text: string, answer: boolean): boolean => {
    const graph = parseGraph(text);
    const isPlannable = (spec: unknown): boolean => Boolean(specs.push(spec)) && answer;
    return convolution.fits(graph.nodes[0] as Node, graph, { ...means, isPlannable });
  };
  assert.deepEqual([ask(last, true), ask(last, false)], [true, false]);
  const shapes = { x: [2, 3, 8, 8], w: [4, 3, 3, 3], y: [2, 4, 8, 8], channelsLast: true };
  const window = { pads: [1, 1], strides: [1, 1], dilations: [1, 1], groups: 1 };
  assert.deepEqual(specs[0], { kind: "forward", dtype: "float32", ...shapes, ...window });
  assert.equal(ask(last.replaceAll("float32", "float64"), true), false);
  // the filter's 5 · 9 numbers may lie anywhere in a flat buffer
  assert.equal(ask(last.replace("[2,8,8,3]", "[2,8,8,1]").replace("[4,3,3,3]", "[5,3,3,1]"), true), false);
  assert.equal(ask(last.replace("ConvChannelsLast", "ConvFilterGradientChannelsLast"), true), false, "other shapes");
});

test("cuDNN is told the strides of images and filters whose channels are last", () => {
  const graph = parseGraph(last);
  const fake = fakeContext(graph);
  const { cudnn, lines } = fakeCudnn({ A: [{ engine: 5 }] });
  convolution.prepare(graph.nodes[0] as Node, { ...fake.context, cudnn })();
  assert.match(lines.at(-1) ?? "", /^execute 5: /);
  assert.deepEqual(stridesOf([2, 3, 8, 8], true), [192, 1, 24, 3]);
  assert.deepEqual(stridesOf([2, 3, 8, 8]), [192, 64, 8, 1]);
});
