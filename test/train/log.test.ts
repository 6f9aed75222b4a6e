import assert from "node:assert/strict";
import { test } from "node:test";
import { problemIn } from "../../src/schema.js";
import { addToCurve } from "../../src/train/curve.js";
import { inWords, logSchema, newLog, samplesPerSecond } from "../../src/train/log.js";

const given = { batchSize: 8, epochSteps: 5, totalSteps: 10, monitor: "loss", memory: "resident" } as const;

test("newLog is what its schema says, before and after JSON", () => {
  const log = newLog(given);
  assert.equal(problemIn(logSchema, log), undefined);
  assert.deepEqual(JSON.parse(JSON.stringify(log)), log);
  assert.equal(
    problemIn(logSchema, { ...log, end: { reason: "bored", text: "" } }),
    'end.reason is "bored", not one of finished, steps, patience, interrupted, not finite',
  );
});

test("samplesPerSecond and inWords count the wall time of all steps", () => {
  const log = newLog(given);
  assert.equal(samplesPerSecond(log), 0);
  for (let i = 0; i < 4; i++) addToCurve(log.curves.wallMs, 20);
  log.steps = 4;
  assert.equal(samplesPerSecond(log), (1000 * 8) / 20);
  assert.equal(inWords(log), "0 epochs, 4 steps in 80.0 ms");
});
