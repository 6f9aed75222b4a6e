import assert from "node:assert/strict";
import { test } from "node:test";
import { allowedIn, bytesIn, misfit, putNumbers, typedView, typedZeros } from "../../src/data/numbers.js";
import type { DType } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";

const types: readonly DType[] = [
  ...(["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16"] as const),
  ...(["uint16", "int32", "uint32", "int64", "uint64"] as const),
];

test("putNumbers carries small numbers from every element type to every other", () => {
  for (const from of types)
    for (const to of types) {
      const into = typedZeros(to, 4);
      putNumbers(typedView(from, bytesOf(from, [0, 1, 2, 100])), from, into, to);
      assert.deepEqual(valuesOf(to, bytesIn(into)), [0, 1, 2, 100], `${from} to ${to}`);
    }
});

test("putNumbers scales what becomes a float, and makes true and false of bools", () => {
  const floats = typedZeros("float32", 3);
  putNumbers(Uint8Array.of(0, 51, 255), "uint8", floats, "float32", 1 / 255);
  assert.deepEqual(floats, Float32Array.of(0, 0.2, 1));
  putNumbers([1, 2, 3], "float64", floats, "float32");
  assert.deepEqual(floats, Float32Array.of(1, 2, 3));
  const halves = typedZeros("float16", 2);
  putNumbers(BigInt64Array.of(2n, 4n), "int64", halves, "float16", 0.5);
  assert.deepEqual(valuesOf("float16", bytesIn(halves)), [1, 2]);
  const bools = typedZeros("bool", 3);
  putNumbers(Float32Array.of(0, 1, -2), "float32", bools, "bool");
  assert.deepEqual(bools, Uint8Array.of(0, 1, 1));
});

test("typedView takes bytes that lie askew", () => {
  const bytes = new Uint8Array(9);
  bytes.set(bytesOf("float32", [1, 2]), 1);
  assert.deepEqual(typedView("float32", bytes.subarray(1)), Float32Array.of(1, 2));
});

test("allowedIn says nothing where all numbers fit, else what they have to be", () => {
  assert.equal(allowedIn("float64", { dtype: "float32" }), undefined);
  assert.equal(allowedIn("uint8", { dtype: "int64" }), undefined);
  assert.equal(allowedIn("bool", { dtype: "int32" }), undefined);
  assert.deepEqual(allowedIn("int64", { dtype: "int32" }), { from: -(2 ** 31), most: 2 ** 31 - 1 });
  assert.deepEqual(allowedIn("int64", { dtype: "int64", limit: 10, ignoreIndex: -100 }), {
    from: 0,
    most: 9,
    limit: 10,
    beside: -100,
  });
});

test("misfit finds the first number that is out of range or not whole", () => {
  const allowed = { from: 0, most: 9, beside: -100 };
  assert.equal(misfit(BigInt64Array.of(0n, 9n, -100n), "int64", allowed), undefined);
  assert.deepEqual(misfit(BigInt64Array.of(0n, 10n), "int64", allowed), { at: 1, value: "10" });
  assert.deepEqual(misfit([1, -1], "float64", allowed), { at: 1, value: "-1" });
  assert.deepEqual(misfit(Float64Array.of(1, 2.5), "float64", allowed), { at: 1, value: "2.5" });
  assert.deepEqual(misfit(Float32Array.of(Number.NaN), "float32", allowed), { at: 0, value: "NaN" });
  assert.deepEqual(misfit(typedView("float16", bytesOf("float16", [3, 0.5])), "float16", allowed), {
    at: 1,
    value: "0.5",
  });
});
