import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { axesFrom, centre, throughNormalized } from "../../src/ops/normalized.js";

/** The ops that some work adds to a graph with an x of shape [2,3]. */
function opsOf(work: (b: Builder, x: string) => void): string[] {
  const b = new Builder();
  work(b, b.declare({ name: "x", dtype: "float32", shape: [2, 3], category: "input" }));
  return b.nodes.map(({ op }) => op);
}

test("axesFrom(first, rank) are the axes behind the first ones; none if there are not as many", () => {
  assert.deepEqual(axesFrom(2, 4), [2, 3]);
  assert.deepEqual(axesFrom(3, 2), []);
});

test("centre(b, x, axes, epsilon): the variance is the mean of the centred squares, not a difference of two sums", () => {
  assert.deepEqual(
    opsOf((b, x) => centre(b, x, [1], 1e-5)),
    ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Reciprocal"],
  );
});

test("throughNormalized(…, centred: false) leaves the mean of the gradient out", () => {
  const means = (centred: boolean): number =>
    opsOf((b, x) => throughNormalized(b, x, x, x, [1], centred)).filter((op) => op === "ReduceMean").length;
  assert.deepEqual([means(true), means(false)], [2, 1]);
});
