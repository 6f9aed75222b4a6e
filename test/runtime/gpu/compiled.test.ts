import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { type Graph, type Node, tensorOf } from "../../../src/graph/graph.js";
import {
  averagePool,
  dropout,
  fusedNode,
  maxPool,
  maxPoolGradient,
  randomNumbers,
  reduction,
  scatterRows,
  turnedImage,
} from "../../../src/runtime/gpu/compiled.js";
import type { OwnNode } from "../../../src/runtime/gpu/context.js";
import { averagePoolSource, maxPoolGradientSource, maxPoolSource } from "../../../src/runtime/gpu/source/pool.js";
import { dropoutSource, randomSource } from "../../../src/runtime/gpu/source/random.js";
import { turnSource } from "../../../src/runtime/gpu/source/turn.js";
import { fuse } from "../../../src/step/fuse.js";
import { fakeContext } from "./fake-gpu.js";

/** Whether a way to run nodes takes the first node of a graph. */
function fits(own: OwnNode, given: string | Graph, compiles = true): boolean {
  const graph = typeof given === "string" ? parseGraph(given) : given;
  return own.fits(graph.nodes[0] as Node, graph, fakeContext(graph, { compiles }).context);
}

/** What it launches for the node, grid and addresses, and the kernels; tensors lie at 4096, 8192, …, the step's number at 9. */
function launched(own: OwnNode, graph: Graph) {
  const { context, lines, sources } = fakeContext(graph);
  own.prepare(graph.nodes[0] as Node, context)();
  return { lines, sources };
}

const sum = (shape: string, axes: string, more = "") =>
  `graph(float32[${shape}] x) => (y) { y = ReduceSum${more}(x, int64[${axes.split(",").length}]{${axes}}) }`;

test("nothing fits where kernels cannot be compiled", () => {
  assert.equal(fits(reduction, sum("4,3", "0")), true);
  assert.equal(fits(reduction, sum("4,3", "0"), false), false);
});

test("reduction.fits(sum) where the axes that stay lie side by side or at the ends, of floats, with elements", () => {
  assert.equal(fits(reduction, sum("2,3,4", "0,2")), true);
  assert.equal(fits(reduction, sum("2,3,4", "1")), true);
  assert.equal(fits(reduction, sum("2,3,4,5", "1,3")), false);
  // the builder refuses a reduction of nothing: a graph from elsewhere
  const full = parseGraph(sum("4,3", "0"));
  const empty = new Map(full.tensors).set("x", { ...tensorOf(full, "x"), shape: [0, 3] });
  assert.equal(fits(reduction, full), true);
  assert.equal(fits(reduction, { ...full, tensors: empty }), false);
  assert.equal(fits(reduction, "graph(int32[4] x) => (y) { y = ReduceSum(x) }"), false);
});

test("reduction.prepare(long sum) launches two kernels, with the parts in workspace that it gives back", () => {
  const graph = parseGraph(sum("100000,64", "0", "<keepdims=0>"));
  const { context, lines, memory, address } = fakeContext(graph);
  const run = reduction.prepare(graph.nodes[0] as Node, context);
  run();
  assert.equal(lines.length, 2);
  const [from, parts] = (lines[0] ?? "").split(" ").slice(-2);
  assert.equal(from, String(address("x")));
  assert.deepEqual((lines[1] ?? "").split(" ").slice(-2), [parts, String(address("y"))]);
  assert.equal(memory.held.size, 0);
  assert.equal(launched(reduction, parseGraph(sum("20,64", "0", "<keepdims=0>"))).lines.length, 1);
});

test("scatterRows.fits(ScatterND) adds rows of floats by one index each", () => {
  const scatter = (reduction: string, index: string) =>
    `graph(float32[5,3] x, int64[${index}] i, float32[4,3] u) => (y) { y = ScatterND<reduction="${reduction}">(x, i, u) }`;
  assert.equal(fits(scatterRows, scatter("add", "4,1")), true);
  assert.equal(fits(scatterRows, scatter("none", "4,1")), false);
});

test("maxPool.fits(node) for floats of any width, indices in the order of memory", () => {
  const pool = (dtype: string, more = "") =>
    `graph(${dtype}[1,1,4,4] x) => (y) { y = MaxPool<kernel_shape=[2,2]${more}>(x) }`;
  assert.equal(fits(maxPool, pool("bfloat16")), true);
  assert.equal(fits(maxPool, pool("float32"), false), false);
  assert.equal(fits(maxPool, pool("int8")), false);
  assert.equal(fits(maxPool, pool("float32", ", storage_order=1")), false);
  assert.equal(launched(maxPool, parseGraph(pool("float32"))).lines.length, 1);
});

test("maxPoolGradient.fits(node) needs the window: without it places are added up by index", () => {
  const gradient = (window: string) =>
    `graph(float32[1,1,2,2] d, int64[1,1,2,2] i) => (y) { y = mutwo.MaxPoolGradient<${window}shape=[1,1,4,4]>(d, i) }`;
  assert.equal(fits(maxPoolGradient, gradient("kernel_shape=[2,2], strides=[2,2], ")), true);
  assert.equal(fits(maxPoolGradient, gradient("")), false);
  const window = { kernel: [2, 2], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] };
  assert.deepEqual(launched(maxPoolGradient, parseGraph(gradient("kernel_shape=[2,2], "))).sources, [
    maxPoolGradientSource({ dtype: "float32", shape: [1, 1, 4, 4], pooled: [2, 2], window, channelsLast: false }),
  ]);
});

test("dropout draws from the step's number, where ratio and training are constants", () => {
  const drop = (training: string) =>
    `graph(float32[1024] x) => (y, mask) { y, mask = Dropout<seed=3>(x, float32[]{0.25}, bool[]{${training}}) }`;
  assert.deepEqual([fits(dropout, drop("1")), fits(dropout, drop("0"))], [true, false]);
  const { lines, sources } = launched(dropout, parseGraph(drop("1")));
  assert.match(lines[0] ?? "", /^launch 1×256 on 9 4096 \d+ \d+$/);
  assert.deepEqual(sources, [dropoutSource("float32", 1024, 0.25, 3, true)]);
});

test("randomNumbers draw into their output from the step's number", () => {
  const graph = parseGraph("graph(float32[8] x) => (y) { y = RandomUniformLike<low=-1, seed=2>(x) }");
  const { lines, sources } = launched(randomNumbers, graph);
  assert.deepEqual(lines, ["launch 1×256 on 9 8192"]);
  assert.deepEqual(sources, [randomSource("float32", 8, { kind: "uniform", low: -1, high: 1 }, 2)]);
});

test("fusedNode hands over inputs, then outputs", () => {
  const fused = fuse(parseGraph("graph(float32[4096] x, float32[4096] z) => (y) { h = Add(x, z) y = Exp(h) }"));
  assert.equal(fused.nodes[0]?.op, "Fused");
  const { address } = fakeContext(fused);
  assert.deepEqual(launched(fusedNode, fused).lines, [
    `launch 4×256 on ${["x", "z", "y"].map((name) => address(name)).join(" ")}`,
  ]);
});

test("fusedNode launches sums over channels and what is made of them, with the parts in workspace that it gives back", () => {
  const fused = fuse(
    parseGraph(`graph(float32[2,3,4] d, float32[2,3,4] x, float32[3] s, float32[3] m, float32[3] v) => (e, ds) {
  e = Neg(d)
  a, b, c, ds, db = mutwo.BatchNormalizationGradientSums(e, x, s, m, v)
}`),
  );
  assert.equal(fused.nodes[0]?.op, "Fused");
  const { context, lines, memory, address } = fakeContext(fused);
  fusedNode.prepare(fused.nodes[0] as Node, context)();
  assert.equal(lines.length, 2);
  const [sums, finish] = lines.map((line) => line.split(" on ")[1]?.split(" "));
  const at = (...names: string[]): string[] => names.map((name) => String(address(name)));
  assert.deepEqual(sums?.slice(0, -1), at(...(fused.nodes[0]?.inputs ?? []), "e", "ds"));
  assert.deepEqual(finish, [sums?.at(-1), ...at("s", "v", "ds")]);
  assert.equal(memory.held.size, 0);
});

test("fusedNode runs a node alone that others would be fused with, without the results that nothing reads", () => {
  const graph = parseGraph(`graph(float32[2,3,4] d, float32[2,3,4] x, float32[3] s) => (db) {
  a, b, c, ds, db = mutwo.BatchNormalizationGradientSums(d, x, s, s, s)
}`);
  const [node] = graph.nodes as [Node];
  const alone = { ...graph, nodes: [{ ...node, outputs: ["", "", "", "", "db"] }] };
  assert.equal(fits(fusedNode, alone), true);
  assert.equal(fits(fusedNode, alone, false), false);
  assert.equal(launched(fusedNode, alone).lines.length, 2);
  const halves = `graph(float16[2,3,4] x, VECTOR[3] s) => (y) { y = mutwo.BatchNormalizationApply(x, s, s, s, s) }`;
  assert.equal(fits(fusedNode, halves.replace("VECTOR", "float32")), true);
  assert.equal(fits(fusedNode, halves.replace("VECTOR", "float16")), false);
});

test("turnedImage.fits(Transpose) where channels become the last axis or axis 1 again", () => {
  const turn = (perm: string) => `graph(float32[2,3,4,5] x) => (y) { y = Transpose<perm=[${perm}]>(x) }`;
  assert.deepEqual(
    ["0,2,3,1", "0,3,1,2", "0,1,3,2", "3,2,1,0"].map((perm) => fits(turnedImage, turn(perm))),
    [true, true, false, false],
  );
  const sourceOf = (perm: string) => launched(turnedImage, parseGraph(turn(perm))).sources;
  assert.deepEqual(sourceOf("0,2,3,1"), [turnSource("float32", [2, 3, 20], 4)]);
  assert.deepEqual(sourceOf("0,3,1,2"), [turnSource("float32", [2, 12, 5], 4)]);
});

test("maxPool takes images in either order, averagePool those whose channels are last", () => {
  const pooled = (op: string, more = "") =>
    `graph(float32[1,4,4,3] x) => (y) { y = ${op}<kernel_shape=[2,2], strides=[2,2]${more}>(x) }`;
  assert.equal(fits(maxPool, pooled("mutwo.MaxPoolChannelsLast")), true);
  assert.equal(fits(averagePool, pooled("mutwo.AveragePoolChannelsLast")), true);
  assert.deepEqual([fits(maxPool, pooled("MaxPool")), fits(averagePool, pooled("AveragePool"))], [true, false]);
  assert.equal(fits(maxPool, pooled("mutwo.MaxPoolChannelsLast", ", storage_order=1")), false);
  const window = { kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0] };
  const pooling = { dtype: "float32", shape: [1, 3, 4, 4], pooled: [2, 2], window, channelsLast: true } as const;
  const sourcesOf = (node: OwnNode, op: string, more = "") => launched(node, parseGraph(pooled(op, more))).sources;
  assert.deepEqual(sourcesOf(maxPool, "mutwo.MaxPoolChannelsLast"), [maxPoolSource(pooling, false)]);
  assert.deepEqual(sourcesOf(averagePool, "mutwo.AveragePoolChannelsLast", ", count_include_pad=1"), [
    averagePoolSource(pooling, true),
  ]);
});
