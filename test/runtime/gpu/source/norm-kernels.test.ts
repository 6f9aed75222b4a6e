import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChannelShape, gridOf } from "../../../../src/runtime/gpu/source/norm-kernels.js";

// what the kernels compute is in norm.test.ts

const typeOf = (before: number, kept: number, after: number, aligned = true): ChannelShape => ({
  shape: { before, kept, after },
  aligned,
  multiprocessors: 4,
});

test("gridOf(images) reads by fours where rows and addresses allow it, in parts that hold whole fours", () => {
  const grid = { parts: 3, chunk: 69632, width: 4, isColumns: false, across: 1, blocks: 48 };
  assert.deepEqual(gridOf(typeOf(64, 16, 3136)), grid);
  assert.equal(gridOf(typeOf(64, 16, 3136, false)).width, 1);
  assert.equal(gridOf(typeOf(64, 16, 49)).width, 1);
  const { parts, chunk } = gridOf(typeOf(7, 3, 2500));
  // a part of many elements is one of whole rounds of four reads of each thread
  assert.equal(gridOf(typeOf(64, 16, 3136)).chunk % (4 * 4 * 256), 0);
  assert.ok(chunk % 4 === 0 && parts * chunk >= 7 * 2500 && (parts - 1) * chunk < 7 * 2500);
});

test("gridOf(rows of many channels) gives a thread four channels beside each other, and a block 32 threads' at most", () => {
  const grid = gridOf(typeOf(7000, 144, 1));
  assert.deepEqual([grid.isColumns, grid.width, grid.across, grid.blocks], [true, 4, 32, 2 * grid.parts]);
  assert.deepEqual([gridOf(typeOf(7000, 24, 1)).across, gridOf(typeOf(7000, 24, 1, false)).across], [6, 24]);
  assert.equal(gridOf(typeOf(7000, 37, 1)).width, 1);
  assert.equal(gridOf(typeOf(70, 3, 1)).isColumns, false);
});
