import assert from "node:assert/strict";
import { test } from "node:test";
import { segmentBounds, segmentCounts } from "../../src/plan/segments.js";

test("segmentBounds(bytes, count): segments are about equally large, whatever the activations' sizes", () => {
  const bounds = (bytes: readonly number[], count: number): number[] => [...segmentBounds(bytes, count)];
  const ten = new Array<number>(10).fill(1);
  assert.deepEqual(bounds(ten, 1), [9]);
  assert.deepEqual(bounds(ten, 2), [4, 9]);
  assert.deepEqual(bounds(ten, 5), [1, 3, 5, 7, 9]);
  assert.deepEqual(bounds([6, 1, 1, 1, 1, 2], 2), [0, 5]);
  assert.deepEqual(bounds([], 3), []);
});

test("segmentCounts(activations, most): the small numbers all, none more than there are activations", () => {
  assert.deepEqual(segmentCounts(5, 40), [1, 2, 3, 4, 5]);
  const counts = segmentCounts(1000, 24);
  assert.deepEqual(counts.slice(0, 3), [1, 2, 3]);
  assert.ok((counts.at(-1) as number) <= 1000 && counts.length <= 26, `${counts}`);
});
