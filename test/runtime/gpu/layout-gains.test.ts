import assert from "node:assert/strict";
import { test } from "node:test";
import { layoutGains } from "../../../src/runtime/gpu/layout-gains.js";

test("layoutGains(tf32): plain float32 gains nothing, 16-bit types most, convolutions that are products of matrices little", () => {
  assert.equal(layoutGains(false).dense.float32, undefined);
  const { dense, matrices, depthwise, sums } = layoutGains(true);
  const [of16, of32] = [
    (kind: Readonly<Record<string, number>>) => kind.bfloat16 ?? 0,
    (kind: Readonly<Record<string, number>>) => kind.float32 ?? 0,
  ];
  assert.ok(of16(dense) > of32(dense) && of32(dense) > of32(matrices));
  assert.ok(of32(matrices) > of32(depthwise) && of32(sums) < 0 && of16(sums) < of32(sums));
});
