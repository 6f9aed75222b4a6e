import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { fitsRows, fusible, rowShape } from "../../src/step/fusible.js";

const of = (text: string, x = "float32[4,3,5] x") => {
  const graph = parseGraph(`graph(${x}) => (y) { y = ${text} }`);
  return fusible(graph.nodes[0] as Node, graph);
};

test("fusible(pointwise node) goes over its output, by itself", () => {
  assert.deepEqual(of("Exp(x)"), { shape: [4, 3, 5], reducedAxes: 0 });
  assert.deepEqual(of("Add(x, z)", "float32[4,3,5] x, float32[7,1,1,1] z"), { shape: [7, 4, 3, 5], reducedAxes: 0 });
});

test("fusible(reduction) goes over its input: the trailing axes, kept as axes of size 1", () => {
  assert.deepEqual(of("ReduceSum(x, int64[1]{-1})"), { shape: [4, 3, 5], reducedAxes: 1 });
  assert.deepEqual(of("ReduceMax<axes=[2,1]>(x)"), { shape: [4, 3, 5], reducedAxes: 2 });
  assert.deepEqual(of("ReduceMean(x)"), { shape: [4, 3, 5], reducedAxes: 3 });
  assert.equal(of("ReduceSum(x, int64[1]{1})"), undefined);
  assert.equal(of("ReduceSum<keepdims=0>(x, int64[1]{2})"), undefined);
});

test("fusible(node) is none for few rows that do not fit on the chip, other ops and other types", () => {
  const rows = (count: number, length: number) => of("ReduceMax<axes=[-1]>(x)", `float32[${count},${length}] x`);
  assert.ok(rows(2, 16384));
  assert.equal(rows(2, 16385), undefined);
  assert.ok(rows(128, 16385));
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
