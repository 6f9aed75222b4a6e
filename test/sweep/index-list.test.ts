import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIndexList, parseIndexList } from "../../src/sweep/index-list.js";

test("parseIndexList(text, count) reads numbers and ranges, each index once", () => {
  assert.deepEqual(parseIndexList("7", 8), [7]);
  assert.deepEqual(parseIndexList("0-3, 12,2", 13), [0, 1, 2, 3, 12]);
});

test("parseIndexList(text, count): one line for what is no list, and for what is no point", () => {
  for (const text of ["", "-1", "1.5", "a", "3-1", "1,,2", "0-"])
    assert.throws(() => parseIndexList(text, 9), { message: `not a list of indexes: ${text} (use 7, or 0-9,12)` });
  const message = "index out of range: 9 (the manifest has 9 points, 0 to 8)";
  for (const text of ["9", "0-9"]) assert.throws(() => parseIndexList(text, 9), { message });
});

test("formatIndexList(indexes) is read back as the same indexes, in their order", () => {
  assert.equal(formatIndexList([5, 0, 1, 2, 9, 8, 2]), "0-2,5,8-9");
  assert.deepEqual(parseIndexList(formatIndexList([3, 1, 2, 7]), 8), [1, 2, 3, 7]);
});
