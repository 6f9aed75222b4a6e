import assert from "node:assert/strict";
import { test } from "node:test";
import { rowGrid } from "../../../../src/runtime/gpu/source/row-grid.js";

test("rowGrid(shape, trailing, aligned) keeps rows in the registers of as many threads as that takes, while it can", () => {
  assert.deepEqual(rowGrid([2, 3, 128], 1, true), {
    rows: 6,
    columns: 128,
    width: 4,
    lanes: 32,
    perThread: 4,
    warpsPerBlock: 4,
    keeps: true,
  });
  const of = (columns: number, aligned = true) => rowGrid([7, columns], 1, aligned);
  assert.deepEqual([of(127).width, of(128, false).width], [1, 1]);
  assert.deepEqual([of(512).lanes, of(513).lanes, of(16384).lanes, of(50264).lanes], [32, 64, 1024, 1024]);
  assert.deepEqual([of(16384).keeps, of(32768).keeps, of(32772).keeps, of(50257).keeps], [true, true, false, false]);
});
