import assert from "node:assert/strict";
import { test } from "node:test";
import { arrayData, arrayDataset } from "../../src/data/arrays.js";
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

test("arrayData takes arrays in memory, typed by what they are", async () => {
  const data = arrayData(
    {
      x: { shape: [2, 2], data: Uint8Array.of(1, 2, 3, 4) },
      h: { shape: [2], data: Uint16Array.of(15360, 16384), dtype: "float16" },
      n: { shape: [2], data: [1.5, 2.5] },
      y: { shape: [2, 1], data: BigInt64Array.of(7n, 8n) },
    },
    { name: "mine", scale: 0.5 },
  );
  assert.deepEqual(
    data.columns.map(({ name, dtype, shape, scale }) => `${name} ${dtype}[${shape}] ${scale}`),
    ["x uint8[2] 0.5", "h float16[] undefined", "n float64[] undefined", "y int64[1] 0.5"],
  );
  assert.deepEqual(await data.read("x", [1]), Uint8Array.of(3, 4));
  assert.deepEqual(await data.read("n", [1, 0]), Float64Array.of(2.5, 1.5));
  const refuse = (array: Parameters<typeof arrayData>[0][string], message: RegExp): void =>
    void assert.throws(() => arrayData({ x: array }), message);
  refuse({ shape: [3], data: [1, 2] }, /x of arrays has 2 elements, not \[3\]/);
  refuse({ shape: [], data: [1] }, /x of arrays has 1 elements, not \[\]/);
  refuse({ shape: [1], data: Int8Array.of(1), dtype: "float32" }, /x of arrays holds int8, not float32/);
});
