import assert from "node:assert/strict";
import { test } from "node:test";
import { layoutGains } from "../../../src/runtime/gpu/layout-gains.js";

test("layoutGains(tf32): plain float32 gains nothing, 16-bit types most", () => {
  assert.equal(layoutGains(false).dense.float32, undefined);
  const { dense, depthwise } = layoutGains(true);
  assert.ok((dense.bfloat16 ?? 0) > (dense.float32 ?? 0) && (dense.float32 ?? 0) > (depthwise.float32 ?? 0));
});
