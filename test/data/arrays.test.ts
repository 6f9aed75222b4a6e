import assert from "node:assert/strict";
import { test } from "node:test";
import { arrayDataset } from "../../src/data/arrays.js";
import { heldArray, rowsOf } from "../../src/data/stored.js";

const rows = new Map([
  ["a", rowsOf(heldArray("float32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6)), "n")],
  ["b", rowsOf(heldArray("float32", [2], Float32Array.of(7, 8)), "n")],
  ["c", rowsOf(heldArray("uint8", [2, 1], Uint8Array.of(9, 10)), "n")],
]);

test("arrayDataset has each array as a column; scale is for whole numbers", () => {
  const data = arrayDataset({ name: "n", rows, scale: 0.5 });
  assert.deepEqual(data.columns, [
    { name: "a", dtype: "float32", shape: [3] },
    { name: "b", dtype: "float32", shape: [] },
    { name: "c", dtype: "uint8", shape: [1], scale: 0.5 },
  ]);
  assert.throws(() => data.read("d", [0]), /no column d in n; there are a, b, c/);
});

test("arrayDataset sets columns side by side", async () => {
  const data = arrayDataset({ name: "n", rows, columns: { input: ["b", "a"], target: "c" } });
  assert.deepEqual(data.columns[0], { name: "input", dtype: "float32", shape: [4], isFlat: true, source: "b+a" });
  const into = new Float32Array(8);
  assert.equal(await data.read("input", [1, 0], into), into);
  assert.deepEqual(into, Float32Array.of(8, 4, 5, 6, 7, 1, 2, 3));
});

test("arrayDataset says what does not go together", () => {
  const two = new Map([...rows, ["d", rowsOf(heldArray("int8", [3], Int8Array.of(1, 2, 3)), "n")]]);
  assert.throws(
    () => arrayDataset({ name: "n", rows: two }),
    /columns of different length in n: a 2, d 3; choose by columns/,
  );
  assert.throws(
    () => arrayDataset({ name: "n", rows, columns: { input: ["a", "c"] } }),
    /columns of different types for input: float32, uint8 \(n\)/,
  );
  assert.throws(() => arrayDataset({ name: "n", rows: new Map() }), /no arrays in n/);
  assert.throws(
    () => arrayDataset({ name: "n", rows, columns: { input: "a", target: [] } }),
    /no columns chosen for target \(n\)/,
  );
  assert.throws(() => arrayDataset({ name: "n", rows, scale: Number.NaN }), /scale of data is no number beside 0: NaN/);
});
