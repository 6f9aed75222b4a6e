import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { after, test } from "node:test";
import { heldArray, rowsOf } from "../../src/data/stored.js";
import { dataFolder, put, raw } from "../data-files.js";

const folder = dataFolder();

test("rowsOf gives samples of an array in memory in any order, and fills an array that fits", () => {
  const rows = rowsOf(heldArray("int16", [3, 2], Int16Array.of(0, 1, 10, 11, 20, 21)), "x");
  assert.deepEqual([rows.count, rows.shape], [3, [2]]);
  const into = new Int16Array(4);
  assert.equal(rows.read([2, 0], into), into);
  assert.deepEqual(into, Int16Array.of(20, 21, 0, 1));
  assert.notEqual(rows.read([2], into), into);
});

test("rowsOf turns Fortran's order and big-endian bytes round", () => {
  // [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]], the first index running fastest
  const numbers = Int32Array.of(0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11);
  const rows = rowsOf({ ...heldArray("int32", [2, 2, 3], numbers), isFortran: true }, "x");
  assert.deepEqual(
    rows.read([0, 1]),
    Int32Array.from({ length: 12 }, (_, i) => i),
  );
  const swapped = Buffer.from(raw(Float64Array.of(1, 2, 3))).swap64();
  const big = rowsOf(
    { dtype: "float64", shape: [3], place: { bytes: Uint8Array.from(swapped) }, isBigEndian: true },
    "x",
  );
  assert.deepEqual(big.read([2, 1]), Float64Array.of(3, 2));
  assert.deepEqual(big.read([2, 1]), Float64Array.of(3, 2));
});

test("rowsOf reads large arrays from their file: small samples in place, large ones beside the program", async () => {
  for (const [count, width] of [
    [2 ** 20, 40],
    [300, 2 ** 17],
  ] as const) {
    const values = new Uint16Array(count * width);
    for (let i = 0; i < count; i++) values[i * width + 3] = i % 65536;
    const file = put(folder, "large", Buffer.concat([Buffer.alloc(5), raw(values)]));
    const descriptor = openSync(file, "r");
    after(() => closeSync(descriptor));
    const rows = rowsOf({ dtype: "uint16", shape: [count, width], place: { descriptor, offset: 5, file } }, file);
    const read = await rows.read([count - 1, 4, 5, 6, 4]);
    const thirds = [0, 1, 2, 3, 4].map((i) => read[i * width + 3]);
    assert.deepEqual(thirds, [(count - 1) % 65536, 4, 5, 6, 4]);
  }
});
