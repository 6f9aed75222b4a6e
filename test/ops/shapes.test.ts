import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import {
  broadcastShape,
  cast,
  normalizeAxes,
  normalizeAxis,
  reducedShape,
  reduceTo,
  reshape,
} from "../../src/ops/shapes.js";

const builder = (shape: readonly number[]): { b: Builder; x: string } => {
  const b = new Builder();
  return { b, x: b.declare({ name: "x", dtype: "float32", shape, category: "input" }) };
};

test("broadcastShape(a, b) is numpy's", () => {
  assert.deepEqual(broadcastShape([2, 1, 4], [3, 1]), [2, 3, 4]);
  assert.deepEqual(broadcastShape([], [0, 5], [1]), [0, 5]);
  assert.throws(
    () => broadcastShape([2, 3], [2]),
    /^Error: shape mismatch: \[2,3\] and \[2\] do not broadcast \(axis 1\)$/,
  );
});

test("normalizeAxis counts from the front, and refuses what is no axis", () => {
  assert.equal(normalizeAxis(-1, 3), 2);
  for (const axis of [3, -4, 0.5]) assert.throws(() => normalizeAxis(axis, 3), /axis out of range/);
  assert.deepEqual(normalizeAxes([-1, 0], 3), [0, 2]);
  assert.throws(() => normalizeAxes([1, -2], 3), /duplicate axis/);
});

test("reducedShape keeps reduced axes as 1, or drops them", () => {
  assert.deepEqual(reducedShape([2, 3, 4], [1], true), [2, 1, 4]);
  assert.deepEqual(reducedShape([2, 3, 4], [0, 2], false), [3]);
});

test("reduceTo sums over the axes that were repeated, and adds no node where none was", () => {
  const { b, x } = builder([5, 2, 3]);
  assert.equal(reduceTo(b, x, [5, 2, 3]), x);
  assert.deepEqual(b.type(reduceTo(b, x, [2, 1])).shape, [2, 1]);
  assert.deepEqual(
    b.nodes.map(({ op }) => op),
    ["ReduceSum", "Reshape"],
  );
});

test("reshape and cast give a tensor itself where it has the shape or the type", () => {
  const { b, x } = builder([2, 3]);
  assert.deepEqual([reshape(b, x, [2, 3]), cast(b, x, "float32"), b.nodes.length], [x, x, 0]);
  assert.equal(b.type(cast(b, reshape(b, x, [6]), "int64")).dtype, "int64");
});
