import assert from "node:assert/strict";
import { test } from "node:test";
import { Packing } from "../../src/memory/packing.js";

test("place(order) puts each storage at the lowest offset where it fits, among what has its place", () => {
  const packing = new Packing({
    free: [
      { bytes: 100, start: 0, end: 5 },
      { bytes: 64, start: 0, end: 1 },
      { bytes: 64, start: 3, end: 5 },
    ],
    // part of a line: the whole line is taken
    fixed: [{ storage: { start: 0, end: 5 }, offset: 130, end: 140 }],
    base: 64,
    count: 6,
  });
  assert.equal(packing.place(Int32Array.of(0, 1, 2)), 320);
  assert.deepEqual([...packing.offset], [192, 64, 64, 128]);
  assert.equal(packing.place(Int32Array.of(2, 1, 0)), 320);
});

test("place(order) gives the same offsets whether storages share one list or many", () => {
  // many short lives beside some long ones, more than go into one list
  const free = Array.from({ length: 4000 }, (_, i) => ({
    bytes: 64 * (1 + ((i * 7919) % 13)),
    start: i,
    end: Math.min(3999, i + (i % 100 === 0 ? 1500 : i % 5)),
  }));
  const order = Int32Array.from(free, (_, i) => (i * 1009) % 4000);
  const packing = new Packing({ free, fixed: [], base: 0, count: 4000 });
  const end = packing.place(order);
  // each in turn at the lowest place, found the plain way
  const placed: { at: number; top: number; one: number }[] = [];
  for (const one of order) {
    const { bytes, start, end: last } = free[one] as (typeof free)[number];
    let cursor = 0;
    for (const { at, top, one: other } of placed) {
      const { start: from, end: to } = free[other] as (typeof free)[number];
      if (from > last || to < start) continue;
      if (at - cursor >= bytes) break;
      cursor = Math.max(cursor, top);
    }
    const index = placed.findIndex(({ at }) => at > cursor);
    placed.splice(index < 0 ? placed.length : index, 0, { at: cursor, top: cursor + bytes, one });
    assert.equal(packing.offset[one], cursor, `storage ${one}`);
  }
  assert.equal(end, Math.max(...placed.map(({ top }) => top)));
});
