import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { text } from "../../src/graph/graph.js";

function shapeOf(equation: string, ...shapes: readonly (readonly number[])[]): readonly number[] {
  const b = new Builder();
  const names = shapes.map((shape, i) => b.declare({ name: `x${i}`, dtype: "float32", shape, category: "input" }));
  return b.type(b.op("Einsum", names, { equation: text(equation) })).shape;
}

test("Einsum's output without an arrow has the labels that stand once, in alphabetical order", () => {
  assert.deepEqual(shapeOf("kb,ak", [3, 5], [2, 3]), [2, 5]);
  assert.deepEqual(shapeOf("ba", [2, 3]), [3, 2]);
});

test("Einsum broadcasts the axes that dots stand for", () => {
  assert.deepEqual(shapeOf("...ij,...jk->...ik", [7, 1, 2, 3], [4, 3, 5]), [7, 4, 2, 5]);
  assert.deepEqual(shapeOf("i...,...->i...", [2, 3], [3]), [2, 3]);
});

test("Einsum says what is wrong with an equation", () => {
  assert.throws(() => shapeOf("ij,jk->ik", [2, 3]), /shape mismatch: 1 operands for ij,jk->ik/);
  assert.throws(() => shapeOf("ijk->i", [2, 3]), /shape mismatch: \[2,3\] for ijk of ijk->i/);
  assert.throws(() => shapeOf("ij,jk->ik", [2, 3], [4, 5]), /shape mismatch: j is 3 and 4 in ij,jk->ik/);
  assert.throws(() => shapeOf("ii->i", [2, 2]), /unsupported: diagonal ii of ii->i/);
  assert.throws(() => shapeOf("ij->ik", [2, 3]), /ij->ik/);
});
