import assert from "node:assert/strict";
import { test } from "node:test";
import { efficienciesOf, fittedEfficiencies } from "../../src/runtime/efficiency.js";
import { errorsOf, fit, recordedSteps } from "../bench/fit.js";

test("efficienciesOf(partial) takes what is known of a device, and fitted numbers for the rest", () => {
  assert.deepEqual(efficienciesOf(), fittedEfficiencies);
  const own = efficienciesOf({ product: { compute: 0.9 }, link: 0.5 });
  assert.deepEqual(own.product, { ...fittedEfficiencies.product, compute: 0.9 });
  assert.deepEqual([own.rows, own.link], [fittedEfficiencies.rows, 0.5]);
});

test("fittedEfficiencies are what the recordings give; estimates of them are as near as `mutwo help estimates` says", async () => {
  const steps = await recordedSteps();
  assert.deepEqual(fit(steps), fittedEfficiencies);
  for (const step of steps) {
    const { step: whole, node } = errorsOf(step, fittedEfficiencies);
    assert.ok(Math.abs(whole) < 0.12 && node < 0.25, `${step.name}: ${whole} ${node}`);
  }
});
