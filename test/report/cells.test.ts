import assert from "node:assert/strict";
import { test } from "node:test";
import { json, names, number, texts } from "../../src/report/cells.js";

test("cells are read as what their column holds; empty ones hold nothing", () => {
  const row = { ms: 1.5, none: null, list: '["a","","b c"]', record: '{"1":"x","a":"y"}', empty: "" };
  assert.equal(number(row, "ms", 0), 1.5);
  assert.deepEqual(names(row, "list", 0), ["a", "", "b c"]);
  assert.deepEqual(texts(row, "record", 0), [
    ["1", "x"],
    ["a", "y"],
  ]);
  assert.deepEqual([names(row, "empty", 0), texts(row, "empty", 0), json(row, "none", 0, "record")], [[], [], {}]);
});

test("cells that hold something else say so with row and column", () => {
  const row = { ms: -1, none: null, list: "[1]", record: '{"a":1}', broken: "[" };
  assert.throws(() => number(row, "ms", 1), /^Error: row 2 has a negative number in ms: -1$/);
  assert.throws(() => number(row, "none", 1), /^Error: row 2 has no number in none: empty$/);
  assert.throws(() => names(row, "list", 1), /^Error: row 2 has more than names in list: \[1\]$/);
  assert.throws(() => names(row, "record", 1), /^Error: row 2 has no JSON list in record: /);
  assert.throws(() => texts(row, "list", 1), /^Error: row 2 has no JSON record in list: /);
  assert.throws(() => texts(row, "record", 1), /^Error: row 2 has no text in record for a: 1$/);
  assert.throws(() => names(row, "broken", 1), /^Error: row 2 has no JSON list in broken: \[$/);
});
