import assert from "node:assert/strict";
import { test } from "node:test";
import { segmentBounds, segmentCounts, trySegments } from "../../src/plan/segments.js";

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

test("trySegments(…) ends at the most segments that fit", () => {
  const tried: number[] = [];
  // of 100 equal activations: what is kept, and the largest segment
  const peakOf = (bounds: ReadonlySet<number>): number => {
    tried.push(bounds.size);
    return bounds.size + 100 / (bounds.size + 1);
  };
  trySegments(new Array(100).fill(1), 10, 50, peakOf);
  const fit = tried.filter((size) => size + 100 / (size + 1) <= 50);
  assert.equal(Math.max(...fit), 47);
  trySegments(new Array(100).fill(1), 10, 5, peakOf);
});
