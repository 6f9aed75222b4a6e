import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node } from "../../../src/graph/graph.js";
import { batchStatistics } from "../../../src/runtime/gpu/batch-norm.js";
import { fakeContext } from "./fake-gpu.js";

/** Statistics of an image; its values are of type `dtype`, the statistics of `vector`. */
const graphOf = (dtype = "float32", vector = "float32") =>
  parseGraph(`graph(${dtype}[2,3,4,4] x, ${vector}[3] mean, ${vector}[3] variance) => (z) {
  newMean, newVariance, batchMean, inverse = mutwo.BatchNormalizationStatistics(x, mean, variance)
  z = Exp(x)
}`);

const nodeOf = (graph: ReturnType<typeof graphOf>, outputs: readonly string[]): Node => ({
  ...(graph.nodes[0] as Node),
  outputs,
});

function ran(outputs: readonly string[]) {
  const graph = graphOf();
  const { context, lines, memory, address } = fakeContext(graph);
  const run = batchStatistics.prepare(nodeOf(graph, outputs), context);
  lines.splice(0);
  run();
  assert.equal(memory.held.size, 0, "workspace is held");
  return { lines, address };
}

test("batchStatistics.fits(node) wants vectors of float32 or float64, all of one type, and a compiler", () => {
  const fits = (dtype: string, vector: string, compiles = true) => {
    const graph = graphOf(dtype, vector);
    return batchStatistics.fits(graph.nodes[0] as Node, graph, fakeContext(graph, { compiles }).context);
  };
  assert.equal(fits("float16", "float32"), true);
  assert.equal(fits("float64", "float64"), true);
  assert.equal(fits("float32", "float16"), false);
  assert.equal(fits("float32", "float32", false), false);
});

/** What a line says the kernel was launched on. */
const operandsOf = (line: string | undefined): string[] => (line ?? "").split(" on ")[1]?.split(" ") ?? [];

test("batchStatistics sums, and renews the running statistics with the batch's", () => {
  const { lines, address } = ran(["newMean", "newVariance", "batchMean", "inverse"]);
  assert.equal(lines.length, 2);
  const at = (...names: string[]): string[] => names.map((name) => String(address(name)));
  const [sums, finish] = lines.map(operandsOf);
  assert.equal(sums?.[0], String(address("x")));
  assert.equal(finish?.[0], sums?.[1], "the parts");
  assert.deepEqual(finish?.slice(1), at("x", "batchMean", "inverse", "mean", "newMean", "variance", "newVariance"));
});

test("batchStatistics of which not all is read keeps the rest in the workspace, and renews nothing", () => {
  const { lines, address } = ran(["", "", "batchMean", ""]);
  const [sums, finish] = lines.map(operandsOf);
  assert.equal(finish?.length, 4);
  assert.equal(finish?.[2], String(address("batchMean")));
  assert.equal(new Set([sums?.[1], finish?.[3]]).size, 2);
});
