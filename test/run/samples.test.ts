import assert from "node:assert/strict";
import { test } from "node:test";
import { samplesOf } from "../../src/run/samples.js";

test("samplesOf(times) keeps the order, and finds the median of an even and of an odd count", () => {
  assert.deepEqual(samplesOf([4, 1, 3, 2]), { samplesMs: [4, 1, 3, 2], medianMs: 2.5, meanMs: 2.5, spreadMs: 0.75 });
  assert.equal(samplesOf([9, 1, 2]).medianMs, 2);
});

test("samplesOf(times) has a spread that one outlier does not move", () => {
  assert.equal(samplesOf([1, 2, 3, 4, 5]).spreadMs, samplesOf([1, 2, 3, 4, 500]).spreadMs);
  assert.equal(samplesOf([7]).spreadMs, 0);
});

test("samplesOf([]) throws", () => assert.throws(() => samplesOf([]), /^Error: no samples$/));
