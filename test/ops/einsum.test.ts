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

test("Einsum takes the diagonal of axes with one label, and its trace without an arrow", () => {
  assert.deepEqual(shapeOf("ii->i", [3, 3]), [3]);
  assert.deepEqual(shapeOf("bii", [2, 3, 3]), [2]);
  assert.deepEqual(shapeOf("...ijj->...i", [5, 2, 3, 3]), [5, 2]);
});

test("Einsum broadcasts the axes that dots stand for", () => {
  assert.deepEqual(shapeOf("...ij,...jk->...ik", [7, 1, 2, 3], [4, 3, 5]), [7, 4, 2, 5]);
  assert.deepEqual(shapeOf("i...,...->i...", [2, 3], [3]), [2, 3]);
});

test("Einsum says what is wrong with an equation", () => {
  assert.throws(() => shapeOf("ij,jk->ik", [2, 3]), /shape mismatch: 1 operands for ij,jk->ik/);
  assert.throws(() => shapeOf("ijk->i", [2, 3]), /shape mismatch: \[2,3\] for ijk of ijk->i/);
  assert.throws(() => shapeOf("ij,jk->ik", [2, 3], [4, 5]), /shape mismatch: j is 3 and 4 in ij,jk->ik/);
  assert.throws(() => shapeOf("ii->i", [2, 3]), /shape mismatch: diagonal ii of \[2,3\] in ii->i/);
  assert.throws(() => shapeOf("ii->i", [1, 3]), /shape mismatch: diagonal ii of \[1,3\] in ii->i/);
  assert.throws(() => shapeOf("ij->ik", [2, 3]), /output's labels are not each of one input axis: ik of ij->ik/);
  assert.throws(() => shapeOf("ij->ii", [2, 3]), /output's labels are not each of one input axis: ii of ij->ii/);
  // the end of a long message says which node it is
  assert.throws(() => shapeOf(`ij,jk->${"z".repeat(60_000)}`, [2, 3]), /for ij,jk->z{53}… \(op Einsum, node /);
  for (const equation of ["i1->i", "i..j", "i->j->k", "i....", "i-j", "...i...", "i,j,"])
    assert.throws(() => shapeOf(equation, [2, 3]), /not an equation: |shape mismatch: /, equation);
});
