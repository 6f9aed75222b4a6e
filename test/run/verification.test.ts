import assert from "node:assert/strict";
import { test } from "node:test";
import { verificationSummary } from "../../src/commands/summary.js";
import {
  greatest,
  isWithinLimits,
  type Verification,
  verificationLimits,
  worstErrors,
} from "../../src/run/verification.js";

const result: Verification = {
  model: "m.onnx",
  ok: true,
  loss: { expected: 1, actual: 1.00001, relativeError: 1e-5 },
  gradients: [
    { name: "a", relativeError: 1e-4 },
    { name: "b", relativeError: 5e-4 },
  ],
  missing: [],
  buffers: [],
  curves: { sgd: { expected: [1], actual: [1.0002], maxRelativeError: 2e-4 } },
};

test("worstErrors(verification) is the greatest of each kind, and NaN is greater than any", () => {
  assert.deepEqual(worstErrors(result), { loss: 1e-5, gradient: 5e-4, curve: 2e-4 });
  assert.ok(Number.isNaN(greatest([1, Number.NaN, 2])));
  assert.equal(greatest([]), 0);
});

test("isWithinLimits(errors) holds up to each limit, and never for NaN", () => {
  assert.ok(isWithinLimits(verificationLimits));
  for (const kind of ["loss", "gradient", "curve"] as const)
    for (const error of [1.01 * verificationLimits[kind], Number.NaN])
      assert.ok(!isWithinLimits({ ...verificationLimits, [kind]: error }), `${kind} ${error}`);
});

test("verificationSummary(verification) prints the limits that decide", () => {
  const row = (what: string): RegExp => new RegExp(`${what} +│ [\\d.e-]+ +│ (1e-\\d)`);
  const text = verificationSummary(result);
  assert.equal(row("loss").exec(text)?.[1], "1e-4");
  assert.equal(row("gradient b").exec(text)?.[1], "1e-3");
  assert.equal(row("curve sgd").exec(text)?.[1], "1e-3");
});
