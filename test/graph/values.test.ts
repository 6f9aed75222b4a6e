import assert from "node:assert/strict";
import { test } from "node:test";
import { dtypes, isFloat } from "../../src/graph/graph.js";
import { bytesOf, numbersIn, repeated, shortestFloat, valuesOf } from "../../src/graph/values.js";

test("valuesOf(dtype, bytesOf(dtype, values)) are the values", () => {
  for (const dtype of dtypes) {
    const values = dtype === "bool" ? [0, 1] : isFloat(dtype) ? [0, 1, -2.5, 96] : [0, 1, 7, 100];
    assert.deepEqual(valuesOf(dtype, bytesOf(dtype, values)), values, dtype);
  }
  assert.deepEqual(valuesOf("int8", bytesOf("int8", [-128, 127])), [-128, 127]);
});

test("numbersIn(dtype, bytes) are the values too, wherever the bytes begin; floats of 32 and 64 bits are not copied", () => {
  for (const dtype of dtypes)
    for (const shift of [0, 1]) {
      const bytes = bytesOf(dtype, [0, 1]);
      const place = new Uint8Array(bytes.length + shift);
      place.set(bytes, shift);
      assert.deepEqual(Array.from(numbersIn(dtype, place.subarray(shift))), [0, 1], dtype);
    }
  const bytes = bytesOf("float32", [1]);
  const numbers = numbersIn("float32", bytes);
  bytes.set(bytesOf("float32", [2]));
  assert.equal(numbers[0], 2);
});

test("bytesOf(float16) rounds to even, reaches subnormal numbers, overflows to infinity", () => {
  const through = (values: readonly number[]): number[] => valuesOf("float16", bytesOf("float16", values));
  assert.deepEqual(through([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, 65520]), [
    1,
    1 + 2 ** -9,
    65504,
    Number.POSITIVE_INFINITY,
  ]);
  assert.deepEqual(through([2 ** -24, 2 ** -26, -(2 ** -14)]), [2 ** -24, 0, -(2 ** -14)]);
  assert.deepEqual(through([Number.NaN, Number.NEGATIVE_INFINITY]), [Number.NaN, Number.NEGATIVE_INFINITY]);
  // every number that a half can be
  for (let bits = 0; bits < 0x7c00; bits++) {
    const bytes = new Uint8Array(new Uint16Array([bits]).buffer);
    assert.deepEqual(bytesOf("float16", valuesOf("float16", bytes)), bytes);
  }
});

test("bytesOf(bfloat16) rounds to even and keeps NaN", () => {
  const through = (values: readonly number[]): number[] => valuesOf("bfloat16", bytesOf("bfloat16", values));
  assert.deepEqual(through([1 + 2 ** -8, 1 + 3 * 2 ** -8, Number.NaN]), [1, 1 + 2 ** -6, Number.NaN]);
});

test("bytesOf(int64) saturates", () => {
  const limits = new BigInt64Array(bytesOf("int64", [1e30, -1e30, 2 ** 53]).buffer);
  assert.deepEqual([...limits], [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n]);
});

test("shortestFloat(value) is the same float32 with fewer digits", () => {
  for (const short of [1e-5, 0.1, 1 / 3, 3.4e38, 0, -0.7]) {
    const found = shortestFloat(Math.fround(short));
    assert.equal(Math.fround(found), Math.fround(short));
    assert.ok(String(found).length <= String(Math.fround(short)).length);
  }
  assert.equal(shortestFloat(Math.fround(1e-5)), 1e-5);
});

test("repeated(dtype, value, count) is what bytesOf makes of a list", () => {
  for (const dtype of ["float32", "float64", "bfloat16", "int64", "bool"] as const)
    for (const [value, count] of [
      [1, 3],
      [0, 2],
      [7, 0],
    ] as const)
      assert.deepEqual(repeated(dtype, value, count), bytesOf(dtype, new Array<number>(count).fill(value)), dtype);
});
