import assert from "node:assert/strict";
import { test } from "node:test";
import { byTime, halving, partitions, sharings } from "../../../src/plan/multiplex/partitions.js";

test("partitions(8) are the paper's four, partitions of odd numbers have one pair that lacks a model", () => {
  const pairs = (...sizes: number[]) => sizes.map((size) => [size, size]);
  assert.deepEqual(partitions(8), [pairs(4), pairs(3, 1), pairs(2, 2), pairs(1, 1, 1, 1)]);
  assert.deepEqual(partitions(2), [pairs(1)]);
  assert.deepEqual(partitions(1), [[[1, 0]]]);
  assert.deepEqual(partitions(3), [[[2, 1]], [[1, 0], ...pairs(1)]]);
  assert.deepEqual(partitions(7), [
    [[4, 3]],
    [[3, 2], ...pairs(1)],
    [[2, 1], ...pairs(2)],
    [[1, 0], ...pairs(1, 1, 1)],
  ]);
});

test("a partition holds all models, in at most one pair of unequal sizes, and none comes twice", () => {
  for (let count = 1; count <= 40; count++) {
    const all = partitions(count);
    assert.equal(all.length, Math.ceil(count / 2));
    assert.equal(new Set(all.map((pairs) => JSON.stringify(pairs))).size, all.length);
    for (const pairs of all) {
      assert.equal(
        pairs.flat().reduce((sum, size) => sum + size, 0),
        count,
      );
      assert.ok(pairs.filter(([one, two]) => one !== two).length === count % 2);
    }
  }
});

test("sharings: models of several architectures stand beside each other whole, or cut as their partitions are", () => {
  const text = (shares: readonly { kind: number; size: number }[]) =>
    shares.map(({ kind, size }) => `${"abc"[kind]}${size}`).join(" ");
  assert.deepEqual(sharings([4]).map(text), ["a2 a2", "a1 a1 a1 a1"]);
  assert.deepEqual(sharings([4, 1]).map(text), ["a4 b1", "a2 a2 b1", "a1 a1 a1 a1 b1"]);
  assert.deepEqual(sharings([1, 1, 1]).map(text), ["a1 b1 c1"]);
});

test("byTime puts those of closest times beside each other", () => {
  const times = [3, 10, 2.9, 9].map((ms) => ({ ms }));
  assert.deepEqual(
    byTime(times).map(({ ms }) => ms),
    [10, 9, 3, 2.9],
  );
});

test("halving keeps of many ways those of a half, a quarter, … of the models, and the last", () => {
  const sizes = Array.from({ length: 50 }, (_, i) => 50 - i);
  assert.deepEqual(halving(sizes, 4), [50, 25, 13, 1]);
  assert.deepEqual(halving([4, 3, 2, 1], 4), [4, 3, 2, 1]);
  assert.deepEqual(halving(sizes.slice(-5), 4), [5, 3, 2, 1]);
});
