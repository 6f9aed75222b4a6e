import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { int } from "../../src/graph/graph.js";
import { backward } from "../../src/step/gradient.js";

/** Ops of the gradient of a tensor of 6 rows from which rows are gathered, by each of the lists of places. */
function gradientOf(...places: (readonly number[])[]): string {
  const b = new Builder();
  const x = b.declare({ name: "x", dtype: "float32", shape: [2, 6, 3], category: "parameter" });
  const seeds = places.map((list): [string, string] => {
    const y = b.op("Gather", [x, b.vector(list)], { axis: int(1) });
    return [y, b.declare({ ...b.type(y), name: `d${y}`, category: "input" })];
  });
  const forward = [...b.nodes];
  b.phase = "backward";
  const gradients = backward(b, forward, new Map(seeds), new Set([x]));
  assert.deepEqual(b.type(gradients.get(x) as string).shape, [2, 6, 3]);
  return b.nodes
    .slice(forward.length)
    .map(({ op }) => op)
    .filter((op) => op !== "Reshape")
    .join(" ");
}

test("gatherGradient joins what several nodes take in even steps; one alone is padded or scattered", () => {
  assert.equal(gradientOf([2]), "Pad");
  assert.equal(gradientOf([-6, -5]), "Expand Expand ScatterElements");
  assert.equal(gradientOf([0], [1], [2], [3], [4], [5]), "Concat");
  assert.equal(gradientOf([0, 1], [2, 3, 4], [-1]), "Concat");
  assert.equal(gradientOf([0, 1, 2], [5, 4, 3]), "Slice Concat");
  assert.equal(gradientOf([0, 2, 4], [5, 3, 1]), "Slice Concat");
  assert.equal(gradientOf([0, 1, 2, 3], [2, 3, 4, 5]), "Pad Pad Add");
  // places in no even steps
  assert.equal(gradientOf([0, 0], [0, 1, 5]), "Expand Expand ScatterElements Expand Expand ScatterElements Add");
});
