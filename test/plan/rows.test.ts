import assert from "node:assert/strict";
import { test } from "node:test";
import { Rows, spread } from "../../src/plan/rows.js";

test("Rows numbers columns in order, and an implication is a row", () => {
  const rows = new Rows();
  const [a, z] = [rows.column({ cost: 1 }), rows.column({ cost: 2, upper: 1 })];
  assert.deepEqual([a, z], [0, 1]);
  rows.implies(a, z);
  rows.implies(a, a);
  assert.deepEqual(rows.rows, [
    {
      terms: [
        [1, 1],
        [0, -1],
      ],
      least: 0,
    },
  ]);
});

test("spread(list, count) keeps both ends, and the list where it is no longer than that", () => {
  assert.deepEqual(spread([1, 2, 3, 4, 5, 6, 7, 8, 9], 3), [1, 5, 9]);
  assert.deepEqual(spread([1, 2], 3), [1, 2]);
});
