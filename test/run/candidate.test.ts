import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Plan } from "../../src/plan/plan.js";
import { eachAlone } from "../../src/run/alone.js";
import { fused, inTurn, sideBySide } from "../../src/run/arrange.js";
import { buildTrials, jointValues } from "../../src/run/build-trials.js";
import { arrangedOf, type Candidate, expectedMs, moreLanes, predict } from "../../src/run/candidate.js";
import { measureBuilt } from "../../src/run/profile-built.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const options = { loss: "ce", optimizer: "sgd", copies: 2, iterations: 2, warmups: 1 };
const trials = buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), options), runtime);
const scene = { runtime, options, trials, limitBytes: Number.POSITIVE_INFINITY };

async function measured(joint: ReturnType<typeof inTurn>): Promise<Candidate> {
  const values = jointValues(runtime, joint.graph, trials);
  return { joint, values, ...(await measureBuilt({ baseline: joint.graph, values }, runtime, options)), plan: null };
}

const plan = (given: Partial<Plan>): Plan =>
  ({ feasible: true, addedMs: 2, peakBytes: 5, decisions: [{}], ...given }) as Plan;

test("moreLanes: the share of work that runs beside other work is the same", () => {
  // half of it does: 1 / (1/2 + 1/2k)
  const capacity = (lanes: number): number => 1 / (0.5 + 0.5 / lanes);
  for (const lanes of [2, 4]) assert.ok(Math.abs(moreLanes(capacity(lanes), lanes, 8) - capacity(8)) < 1e-12);
  assert.deepEqual([moreLanes(1, 2, 8), moreLanes(4, 4, 8)], [1, 8]);
});

test("predict never takes a step's own time: of steps in turn the lone ones', of a fused one its nodes', of a planned one the unplanned", async () => {
  const alone = await eachAlone(scene);
  const aloneMs = alone.reduce((sum, { profile }) => sum + profile.step.medianMs, 0);
  const turns = await measured(inTurn(runtime, trials));
  assert.equal((await predict(turns, scene, alone))?.ms, aloneMs);
  const whole = await measured(fused(runtime, trials, 1e12) ?? assert.fail());
  const { ms, basis } = (await predict(whole, scene, alone)) ?? assert.fail();
  const share = aloneMs / alone.reduce((sum, { profile }) => sum + profile.nodesMs, 0);
  assert.ok(Math.abs(ms - share * whole.before.nodesMs) < 1e-9 * ms);
  assert.match(basis, /the sum of its nodes' times/);
  const planned = { ...turns, plan: plan({}) };
  assert.equal((await predict(planned, scene, alone))?.ms, turns.before.step.medianMs + 2);
  const ring = { ...planned, plain: { measuredMs: 40, expectedMs: 41 } };
  assert.equal((await predict(ring, scene, alone))?.ms, 43);
  assert.equal(await predict({ ...planned, plan: plan({ feasible: false }) }, scene, alone), null);
  const estimated = { ...turns, before: { ...turns.before, estimated: true as const } };
  assert.equal((await predict(estimated, scene, alone))?.ms, turns.before.step.medianMs);
});

test("expectedMs is what was measured, else expected; arrangedOf says both", async () => {
  const turns = await measured(sideBySide(runtime, trials, 1e12));
  assert.equal(expectedMs(turns), turns.before.step.medianMs);
  const ring: Candidate = { ...turns, plan: plan({}), plain: { measuredMs: 40, expectedMs: 41 } };
  assert.equal(expectedMs(ring), 43);
  const after = { ...turns.before, step: { ...turns.before.step, medianMs: 45 } };
  assert.equal(expectedMs({ ...ring, after }), 45);
  assert.equal(expectedMs({ ...turns, plan: plan({ feasible: false }) }), Number.POSITIVE_INFINITY);
  const row = arrangedOf({ ...ring, after }, { ms: 43, basis: "so" }, null);
  assert.deepEqual(
    [row.unplannedMs, row.addedMs, row.predictedMs, row.measuredMs, row.plannedPeakBytes, row.basis],
    [40, 2, 43, 45, 5, "so"],
  );
  assert.deepEqual(arrangedOf(ring, null, null).measuredMs, null);
});
