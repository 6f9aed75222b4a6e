import assert from "node:assert/strict";
import { test } from "node:test";
import { addTo, eachOnce, greatest, least } from "../../src/graph/lists.js";

test("addTo(lists, key, value) makes the list of a key once and adds to it", () => {
  const lists = new Map<string, number[]>();
  addTo(lists, "a", 1);
  const first = lists.get("a");
  addTo(lists, "b", 2);
  addTo(lists, "a", 3);
  assert.deepEqual(
    [...lists],
    [
      ["a", [1, 3]],
      ["b", [2]],
    ],
  );
  assert.equal(lists.get("a"), first);
});

test("least and greatest take more numbers than a call has arguments", () => {
  const many = Array.from({ length: 500_000 }, (_, i) => i - 7);
  assert.deepEqual([least(many), greatest(many)], [-7, 499_992]);
  assert.deepEqual([least([], 3), greatest([], 3), greatest([])], [3, 3, Number.NEGATIVE_INFINITY]);
});

test("eachOnce(list) has each value once, in order, of short lists and of long ones", () => {
  assert.deepEqual([...eachOnce(["b", "a", "b", ""])], ["b", "a", ""]);
  const many = Array.from({ length: 30 }, (_, i) => i % 10);
  assert.deepEqual([...eachOnce(many)], many.slice(0, 10));
});
