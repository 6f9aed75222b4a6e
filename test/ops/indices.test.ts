import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";

const built = (
  op: string,
  data: readonly number[],
  index: readonly number[],
  at: readonly number[],
  attributes = {},
) => {
  const b = new Builder();
  const x = b.declare({ name: "x", dtype: "float32", shape: data, category: "input" });
  return b.type(b.op(op, [x, b.constant("int64", index, at)], attributes)).shape;
};

test("checkIndices(call, sizes) counts negative indices from the end", () => {
  assert.deepEqual(built("Gather", [3, 4], [2], [-3, 2]), [2, 4]);
  assert.throws(() => built("Gather", [3, 4], [2], [0, 3]), /^Error: index out of range: 3 of 3 along an axis/);
  assert.throws(() => built("Gather", [3, 4], [], [-4]), /index out of range: -4 of 3/);
});

test("checkIndices(call, sizes) gives each of the indices side by side its own axis", () => {
  assert.deepEqual(built("GatherND", [3, 4], [2, 2], [2, 3, -3, -4]), [2]);
  assert.throws(() => built("GatherND", [3, 4], [2, 2], [2, 3, 3, 0]), /index out of range: 3 of 3/);
  assert.throws(() => built("GatherND", [3, 4], [2, 2], [2, 4, 0, 0]), /index out of range: 4 of 4/);
});

test("fitsBeside(call, data, index) wants the rank of the data, and no more beside the axis", () => {
  assert.deepEqual(built("GatherElements", [3, 4], [2, 4], [0, 0, 0, 0, 1, 1, 1, 2]), [2, 4]);
  assert.throws(() => built("GatherElements", [3, 4], [2], [0, 0]), /shape mismatch: indices \[2\] of \[3,4\], axis 0/);
  assert.throws(() => built("GatherElements", [3, 1], [1, 2], [0, 0]), /shape mismatch: indices/);
});
