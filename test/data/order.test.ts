import assert from "node:assert/strict";
import { test } from "node:test";
import { epochOrder } from "../../src/data/order.js";

test("epochOrder gives the same order for a seed and an epoch on every machine", () => {
  assert.deepEqual([...epochOrder(10, 0, 0)], [1, 6, 0, 5, 3, 4, 7, 2, 9, 8]);
  assert.deepEqual([...epochOrder(10, 0, 1)], [9, 5, 3, 7, 0, 1, 4, 6, 8, 2]);
  assert.deepEqual([...epochOrder(10, 2 ** 40 + 1, 0)], [7, 4, 1, 5, 2, 8, 6, 3, 9, 0]);
  assert.deepEqual([...epochOrder(4, undefined, 3)], [0, 1, 2, 3]);
});

test("epochOrder holds each number once, and each place holds each number as often", () => {
  const counts = Array.from({ length: 6 }, () => new Array<number>(6).fill(0));
  for (let seed = 0; seed < 6000; seed++) {
    const order = epochOrder(6, seed % 77, Math.floor(seed / 77));
    assert.deepEqual([...order].sort(), [0, 1, 2, 3, 4, 5]);
    order.forEach((value, place) => {
      (counts[place] as number[])[value]!++;
    });
  }
  // 1000 each, standard deviation 29
  for (const row of counts) for (const count of row) assert.ok(Math.abs(count - 1000) < 130, String(count));
});
