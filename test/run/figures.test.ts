import assert from "node:assert/strict";
import { test } from "node:test";
import { figures } from "../../src/run/figures.js";
import { goldenRun } from "../golden-run.js";

test("figures are numbers of a run, or null where it has none; names are there once", () => {
  const run = goldenRun("resnet-h100");
  const values = new Map(figures.map(({ name, of }) => [name, of(run)]));
  assert.equal(values.size, figures.length);
  assert.equal(values.get("peakBytes"), run.before.arenaBytes);
  assert.equal(values.get("stepMs"), run.before.step.medianMs);
  assert.equal(values.get("plannedPeakBytes"), run.plan?.peakBytes);
  const unplanned = { ...run, plan: null, after: null, paired: null };
  for (const { name, of } of figures)
    assert.equal(
      of(unplanned) === null,
      /^(planned|predicted|added|least|decisions)/.test(name) || of(run) === null,
      name,
    );
});
