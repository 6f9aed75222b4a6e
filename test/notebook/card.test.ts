import assert from "node:assert/strict";
import { test } from "node:test";
import { planBundle, runBundle } from "../../src/notebook/card.js";
import type { Plan } from "../../src/plan/plan.js";
import { goldenRun } from "../golden-run.js";

test("runBundle(run) says what the plan comes to, before and after, and of what", () => {
  const { "text/html": html, "text/plain": text } = runBundle(goldenRun("resnet-h100")) as Record<string, string>;
  assert.match(text ?? "", /^mutwo: fits \d+ KiB, predicted peak \d+ KiB\n/);
  for (const part of [
    "peak, predicted",
    "recomputed, swapped, kept",
    "model: resnet_bottleneck",
    "largest at the peak: ",
  ])
    assert.ok(text?.includes(part) && html?.includes(part), part);
});

test("planBundle(plan) of a budget that cannot be met says the least that can", () => {
  const plan = { ...(goldenRun("resnet-h100").plan as Plan), feasible: false, minimumPeakBytes: 2048 };
  assert.match(
    String(planBundle(plan)["text/plain"]),
    /^mutwo: does not fit .*, the least reachable peak is 2.00 KiB\n/,
  );
});

test("runBundle(run) lets no name of the model become HTML", () => {
  const run = goldenRun("resnet-h100");
  const hostile = { ...run, model: { ...run.model, file: "<img src=x onerror=alert(1)>" } };
  assert.ok(!String(runBundle(hostile)["text/html"]).includes("<img"));
});
