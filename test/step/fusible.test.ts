import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { fitsRows, fusible, rowShape } from "../../src/step/fusible.js";

const elements = { reducedAxes: 0, overChannels: false };

const rows = (reducedAxes: number) => ({ reducedAxes, overChannels: false });

const of = (text: string, x = "float32[4,3,5] x") => {
  const graph = parseGraph(`graph(${x}) => (y) { y = ${text} }`);
  return fusible(graph.nodes[0] as Node, graph);
};

test("fusible(pointwise node) goes over its output, by itself", () => {
  assert.deepEqual(of("Exp(x)"), { shape: [4, 3, 5], ...elements });
  assert.deepEqual(of("Add(x, z)", "float32[4,3,5] x, float32[7,1,1,1] z"), { shape: [7, 4, 3, 5], ...elements });
});

test("fusible(reduction) goes over its input: the trailing axes, kept as axes of size 1", () => {
  assert.deepEqual(of("ReduceSum(x, int64[1]{-1})"), { shape: [4, 3, 5], ...rows(1) });
  assert.deepEqual(of("ReduceMax<axes=[2,1]>(x)"), { shape: [4, 3, 5], ...rows(2) });
  assert.deepEqual(of("ReduceMean(x)"), { shape: [4, 3, 5], ...rows(3) });
  assert.equal(of("ReduceSum(x, int64[1]{1})"), undefined);
  assert.equal(of("ReduceSum<keepdims=0>(x, int64[1]{2})"), undefined);
});

test("fusible(sums over channels) goes over its first input, with several outputs", () => {
  const graph = parseGraph(`graph(float32[2,3,4] d, float32[2,3,4] x, float32[3] v) => (ds, db) {
  a, b, c, ds, db = mutwo.BatchNormalizationGradientSums(d, x, v, v, v)
}`);
  const over = fusible(graph.nodes[0] as Node, graph);
  assert.deepEqual(over, { shape: [2, 3, 4], reducedAxes: 0, overChannels: true });
});

test("fusible(node) is none for few rows that do not fit on the chip, other ops and other types", () => {
  const wide = (count: number, length: number) => of("ReduceMax<axes=[-1]>(x)", `float32[${count},${length}] x`);
  assert.ok(wide(2, 16384));
  assert.equal(wide(2, 16385), undefined);
  assert.ok(wide(128, 16385));
  assert.equal(of("MatMul(x, z)", "float32[2,2] x, float32[2,2] z"), undefined);
  assert.equal(of("Add(x, x)", "uint64[4] x"), undefined);
});

test("fitsRows(shape, reducedAxes) asks how long rows are, and how many if they are long", () => {
  assert.ok(fitsRows([4, 128, 128], 2));
  assert.ok(!fitsRows([4, 2, 128, 128], 3));
  assert.ok(fitsRows([4, 32, 50257], 1));
  assert.ok(!fitsRows([4, 31, 50257], 1));
});

test("rowShape(shape, reducedAxes) has trailing axes of size 1", () => {
  assert.equal(rowShape([4, 3, 5], 2), "4,1,1");
  assert.equal(rowShape([4, 3, 5], 0), "4,3,5");
});
