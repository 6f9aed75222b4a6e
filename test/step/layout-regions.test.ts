import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { type ImageSlots, imagesOf, type LayoutGains, lastNodes } from "../../src/step/layout-regions.js";

const gains: LayoutGains = {
  dense: { float32: 0.35 },
  matrices: { float32: 0.03 },
  grouped: {},
  depthwise: { float32: -0.1 },
  sums: {},
};

const all = (): boolean => true;

const slotsOf = (text: string, hasKernel: (node: Node) => boolean = all): ImageSlots | undefined => {
  const graph = parseGraph(text);
  return imagesOf(graph.nodes.at(-1) as Node, graph, hasKernel);
};

/** Names of the results whose nodes are to have channels last. */
function chosen(graph: Graph, own: LayoutGains = gains): (string | undefined)[] {
  const slots = new Map<number, ImageSlots>();
  for (const [rank, node] of graph.nodes.entries()) {
    const images = imagesOf(node, graph, all);
    if (images) slots.set(rank, images);
  }
  return [...lastNodes(graph, own, slots)].map((rank) => graph.nodes[rank]?.outputs[0]).sort();
}

const image = "float32[8,64,64,64]";

/** So many convolutions one after the other, each with what follows it. */
const chain = (count: number, after: string, attributes = "pads=[1,1,1,1]", w = "float32[64,64,3,3]"): Graph =>
  parseGraph(`graph(${image} a0, ${w} w) => (y) {
  ${Array.from({ length: count }, (_, i) => `c${i} = Conv<kernel_shape=[3,3], ${attributes}>(a${i}, w)\na${i + 1} = ${after}(c${i})`).join("\n")}
  y = ReduceSum(a${count}, int64[4]{0,1,2,3})
}`);

test("lastNodes: a region of convolutions pays for what turns images at its border, one convolution does not", () => {
  assert.deepEqual(chosen(chain(1, "Relu")), []);
  // the sum over all axes reads the last image in either order
  assert.deepEqual(chosen(chain(4, "Relu")), ["a1", "a2", "a3", "a4", "c0", "c1", "c2", "c3", "y"]);
});

test("lastNodes: what cannot have channels last between convolutions breaks the region up", () => {
  assert.deepEqual(chosen(chain(4, "Softmax<axis=3>")), []);
});

test("lastNodes: convolutions that lose stay as they are", () => {
  assert.deepEqual(chosen(chain(4, "Relu", "group=64, pads=[1,1,1,1]", "float32[64,1,3,3]")), []);
});

test("lastNodes: convolutions gain where channels are read sixteen bytes at a time, or are colours; groups where that is measured, of many channels", () => {
  /** Whether convolutions of so many channels to themselves are chosen. */
  const isChosen = (channels: number, group = 1, own = gains): boolean =>
    chosen(
      parseGraph(`graph(float32[64,${channels},64,64] a0, float32[${channels},${channels / group},3,3] w) => (y) {
  ${Array.from({ length: 8 }, (_, i) => `a${i + 1} = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=${group}>(a${i}, w)`).join("\n")}
  y = ReduceSum(a8, int64[4]{0,1,2,3})
}`),
      own,
    ).length > 0;
  assert.deepEqual(
    [64, 60, 62, 37, 3].map((channels) => isChosen(channels)),
    [true, true, false, false, true],
  );
  assert.equal(isChosen(64, 4), false);
  const grouped = { ...gains, grouped: { float32: 0.8 } };
  assert.deepEqual([isChosen(64, 4, grouped), isChosen(64, 8, grouped)], [true, false]);
});

test("lastNodes: windows of one element gain at strides and over small images, and sums over channels lose", () => {
  const isChosen = (size: number, attributes = "", own: LayoutGains = gains): boolean =>
    chosen(
      parseGraph(`graph(float32[64,64,${size},${size}] a, float32[64,64,1,1] w, float32[64] m) => (y, mean) {
  b = Conv<kernel_shape=[1,1]${attributes}>(a, w)
  c = Conv<kernel_shape=[1,1]>(b, w)
  _, _, mean = mutwo.BatchNormalizationStatistics(c, m, m)
  d = Conv<kernel_shape=[1,1]>(c, w)
  e = Conv<kernel_shape=[1,1]>(d, w)
  f = Conv<kernel_shape=[1,1]>(e, w)
  y = ReduceSum(f, int64[4]{0,1,2,3})
}`),
      own,
    ).length > 0;
  assert.deepEqual([isChosen(56), isChosen(14), isChosen(56, ", strides=[4,4]")], [false, true, true]);
  assert.equal(isChosen(14, "", { ...gains, sums: { float32: -9 } }), false);
});

test("lastNodes: a bias costs a pass over the output unless what reads it takes it in", () => {
  const biased = (after: string): Graph =>
    parseGraph(`graph(${image} a0, float32[64,64,3,3] w, float32[64] b) => (y) {
  ${Array.from({ length: 6 }, (_, i) => `c${i} = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(a${i}, w, b)\na${i + 1} = ${after}(c${i})`).join("\n")}
  y = ReduceSum(a6, int64[4]{0,1,2,3})
}`);
  assert.equal(chosen(biased("Relu")).length, 13);
  assert.deepEqual(chosen(biased("MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>")), []);
});

test("imagesOf(pointwise node) takes what is broadcast if its elements lie in the same order", () => {
  const add = (operand: string) => `graph(${image} x, float32[${operand}] b) => (y) { y = Add(x, b) }`;
  assert.deepEqual(slotsOf(add("64,1,1")), { inputs: [0, 1], outputs: [0] });
  assert.deepEqual(slotsOf(add("1")), { inputs: [0], outputs: [0] });
  assert.equal(slotsOf(add("64,64,64")), undefined);
  assert.deepEqual(slotsOf(add("8,64,64,64")), { inputs: [0, 1], outputs: [0] });
});

test("imagesOf(op with axes) knows the axes, and takes a result that is no image only if it is the same", () => {
  const sum = (axes: string, keep: number) =>
    `graph(${image} x) => (y) { y = ReduceSum<keepdims=${keep}>(x, int64[${axes.split(",").length}]{${axes}}) }`;
  assert.deepEqual(slotsOf(sum("0,2,3", 0)), { inputs: [0], outputs: [] });
  assert.deepEqual(slotsOf(sum("0,2,3", 1)), { inputs: [0], outputs: [0] });
  assert.equal(slotsOf(sum("0", 0)), undefined);
  assert.equal(slotsOf(`graph(${image} x, int64[1] axes) => (y) { y = Pad(x, int64[8]{0}) }`)?.outputs.length, 1);
});

test("imagesOf(op with images) asks for a kernel of the op for channels last, of its types and without its bias", () => {
  const conv = "graph(float32[1,3,8,8] x, float32[4,3,3,3] w, float32[4] b) => (y) { y = Conv(x, w, b) }";
  const asked: unknown[] = [];
  const slots = slotsOf(conv, (node) => Boolean(asked.push([node.domain, node.op, node.inputs])));
  assert.deepEqual(slots, { inputs: [0, 1], outputs: [0] });
  assert.deepEqual(asked, [["mutwo", "ConvChannelsLast", ["x", "w", ""]]]);
  assert.equal(
    slotsOf(conv, () => false),
    undefined,
  );
  assert.equal(slotsOf("graph(float32[1,3,8] x, float32[4,3,3] w) => (y) { y = Conv(x, w) }"), undefined, "one axis");
});
