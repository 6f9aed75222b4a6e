import assert from "node:assert/strict";
import { test } from "node:test";
import { peakParts } from "../../src/run/peak-parts.js";
import { goldenRun } from "../golden-run.js";

test("peakParts(run) are the peak's holders with flat buffers divided into their parameters", () => {
  const run = goldenRun("gpt2-h100");
  const parts = peakParts(run);
  assert.equal(
    parts.reduce((sum, { bytes }) => sum + bytes, 0),
    run.before.timeline.peakBytes,
  );
  assert.ok(!parts.some(({ name }) => name === "parameters" || name === "parameters.m"));
  const first = parts.find(
    ({ name, within }) => name === "m.transformer.h.0.mlp.c_fc.weight" && within === "parameters.v",
  );
  assert.deepEqual(
    [first?.category, first?.bytes, first?.module],
    ["optimizer state", 48 * 192 * 4, "m.transformer.h.0.mlp.c_fc"],
  );
  assert.ok(parts.every(({ bytes }, i) => i === 0 || bytes <= (parts[i - 1]?.bytes ?? 0)));
});
