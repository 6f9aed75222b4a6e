import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Plan } from "../../src/plan/plan.js";
import { eachAlone } from "../../src/run/alone.js";
import { sideBySide } from "../../src/run/arrange.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { type Candidate, expectedMs } from "../../src/run/candidate.js";
import { candidatesOf, executedOf, fastest } from "../../src/run/candidates.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const sceneOf = (given: object, budgetBytes: number | null) => {
  const options = {
    loss: "mse",
    optimizer: "sgd",
    iterations: 1,
    warmups: 1,
    moves: 200,
    copies: 2,
    dims: { batch: 64 },
    ...given,
  };
  const trials = buildTrials(trialsOf(at("fixtures/dropout_block.onnx"), options), runtime);
  const joints = [sideBySide(runtime, trials, 1e12)];
  const limitBytes = budgetBytes ?? Number.POSITIVE_INFINITY;
  const asked = budgetBytes === null ? options : { ...options, budget: `${budgetBytes}B` };
  return { runtime, options: asked, trials, joints, limitBytes, budgetBytes };
};

test("candidatesOf: what may be the fastest is planned by the planner that is asked for, the rest by one that takes no time", async () => {
  const free = sceneOf({}, null);
  const alone = await eachAlone(free);
  const { candidates: unplanned, partitions } = await candidatesOf(free, alone);
  assert.deepEqual([unplanned.length, unplanned[0]?.plan, partitions], [1, null, undefined]);
  const whole = unplanned[0]?.before.arenaBytes as number;
  const scene = sceneOf({}, Math.floor(0.95 * whole));
  const { candidates, partitions: simulated } = await candidatesOf(scene, alone);
  assert.ok(candidates[0]?.plan?.feasible && candidates[1]?.plan?.ring && simulated?.length);
  // the only one is the fastest
  const lone = await candidatesOf(sceneOf({ arrange: "side-by-side" }, Math.floor(0.95 * whole)), alone);
  assert.deepEqual(
    lone.candidates.map(({ plan }) => [plan?.feasible, plan?.planner]),
    [[true, "best"]],
  );
  // what fits is executed, and the measured time decides
  const executed = await executedOf(candidates, scene);
  assert.ok(executed.some((one) => one.after));
  for (const one of executed) if (one.after) assert.equal(expectedMs(one), one.after.step.medianMs);
  const estimated = await executedOf(candidates, { ...scene, runtime: { ...runtime, backend: "estimate" } });
  assert.deepEqual(
    estimated.map((one) => one.after),
    [undefined, undefined],
  );
  const none = await candidatesOf(sceneOf({}, 1000), alone);
  assert.deepEqual(
    none.candidates.map(({ plan }) => plan?.feasible),
    [false, false],
  );
});

test("fastest: what fits before what does not; of what does not fit the one that comes closest", () => {
  const candidate = (
    ms: number,
    feasible: boolean,
    minimumPeakBytes: number,
    arrangement = "side-by-side",
    lanes = 2,
  ): Candidate =>
    ({
      joint: { arrangement, lanes, subArrays: [["m0"], ["m1"]] as readonly (readonly string[])[] },
      before: { step: { medianMs: ms } },
      plan: { feasible, addedMs: 0, minimumPeakBytes, decisions: [] as Plan["decisions"] } as Plan,
    }) as Candidate;
  const [slow, quick, over, far] = [
    candidate(3, true, 5),
    candidate(2, true, 5),
    candidate(1, false, 6),
    candidate(1, false, 9),
  ];
  assert.equal(fastest([far, slow, over, quick]), quick);
  assert.equal(fastest([far, over]), over);
  // as fast but for noise
  const [ring, faster] = [candidate(1.99, true, 5, "multiplexed"), candidate(1.8, true, 5, "multiplexed")];
  assert.equal(fastest([ring, quick]), quick);
  assert.equal(fastest([quick, faster]), faster);
  // the same kernels in another order, with nothing to hide
  const reordered = candidate(1, true, 5, "multiplexed", 1);
  assert.equal(fastest([reordered, quick]), quick);
  assert.equal(fastest([reordered, over]), reordered);
});
