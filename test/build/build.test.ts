import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";

const refuse = (body: string, message: RegExp): void =>
  assert.throws(
    () => parseGraph(`graph g(float32[2,3] a, float32[4,5] b, int64[2] i, float64[2,3] d) => (y) {${body}}`),
    message,
  );

test("Builder.add names node, op, tensors and both shapes where shapes do not fit", () => {
  refuse("y = MatMul(a, b)", /\(node y: MatMul of a float32\[2,3\], b float32\[4,5\]\)/);
  refuse("[sum] y = Add(a, b)", /shape mismatch: \[2,3\] and \[4,5\] do not broadcast .*\(node sum: Add of a float32/);
  refuse("y = Gemm(a, b, i)", /\(node y: Gemm of a float32\[2,3\], b float32\[4,5\], i int64\[2\]\)/);
  refuse("y = Concat<axis=0>(a, b)", /\(node y: Concat of a float32\[2,3\], b float32\[4,5\]\)/);
  refuse("y = Conv(a, b)", /shape mismatch: X \[2,3\] for W \[4,5\].*\(node y: Conv of/);
});

test("Builder.add refuses inputs of element types that do not go together", () => {
  refuse(
    "y = Add(a, d)",
    /^Error: type mismatch: float32 and float64 \(node y: Add of a float32\[2,3\], d float64\[2,3\]\)/,
  );
  refuse("y = MatMul(a, d)", /type mismatch: float32 and float64/);
  refuse("y = Mul(i, a)", /type mismatch: int64 and float32/);
});
