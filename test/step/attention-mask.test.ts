import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType, Tensor } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { seenThrough } from "../../src/step/attention-mask.js";

const mask = (dtype: DType, shape: readonly number[], values: readonly number[]): Tensor => ({
  name: "mask",
  dtype,
  shape,
  category: "constant",
  data: bytesOf(dtype, values),
});

const low = Number.NEGATIVE_INFINITY;

test("seenThrough(mask) proves a triangle, or that all is seen", () => {
  const triangle = [0, low, low, 0, 0, low, 0, 0, 0];
  assert.deepEqual(seenThrough(mask("float32", [1, 1, 3, 3], triangle), 3, 3), { ahead: 0 });
  assert.deepEqual(seenThrough(mask("float32", [2, 1, 3, 3], [...triangle, ...triangle]), 3, 3), { ahead: 0 });
  assert.deepEqual(seenThrough(mask("float16", [2, 3], [0, 0, -65504, 0, 0, 0]), 2, 3), { ahead: 1 });
  assert.deepEqual(seenThrough(mask("bool", [3, 3], [1, 0, 0, 1, 1, 0, 1, 1, 1]), 3, 3), { ahead: 0 });
  assert.deepEqual(seenThrough(mask("bool", [2, 2], [0, 1, 0, 0]), 2, 2, true), { ahead: 0 });
  assert.deepEqual(seenThrough(mask("float32", [1, 1, 1, 4], [0, 0, 0, 0]), 2, 4), { ahead: undefined });
  assert.deepEqual(seenThrough(mask("bool", [2, 2], [0, 0, 0, 0]), 2, 2, true), { ahead: undefined });
});

test("seenThrough(mask) is undefined for anything else", () => {
  const others: readonly [Tensor, number, number][] = [
    [mask("float32", [3, 3], [0, -5, -5, 0, 0, -5, 0, 0, 0]), 3, 3],
    [mask("float32", [3, 3], [low, low, low, 0, low, low, 0, 0, low]), 3, 3],
    [mask("float32", [3, 3], [0, low, low, 0, 0, low, 0, 0, 0.5]), 3, 3],
    [mask("float32", [2, 2, 2], [0, low, 0, 0, 0, 0, 0, 0]), 2, 2],
    [mask("float32", [1, 3], [0, low, low]), 3, 3],
    [{ name: "mask", dtype: "float32", shape: [3, 3], category: "input" }, 3, 3],
  ];
  for (const [tensor, queries, keys] of others) assert.equal(seenThrough(tensor, queries, keys), undefined);
});
