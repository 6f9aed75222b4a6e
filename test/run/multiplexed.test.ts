import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../src/memory/layout.js";
import { executedGraph } from "../../src/plan/executed.js";
import { eachAlone } from "../../src/run/alone.js";
import { buildTrials, jointValues } from "../../src/run/build-trials.js";
import { multiplexedStep, ringPlan } from "../../src/run/multiplexed.js";
import { measureBuilt } from "../../src/run/profile-built.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const sceneOf = (options: object) => {
  const all = { loss: "ce", optimizer: "sgd", iterations: 1, warmups: 1, moves: 100, ...options };
  const trials = buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), all), runtime);
  return { runtime, options: all, trials, limitBytes: Number.POSITIVE_INFINITY };
};

test("multiplexedStep takes the fastest partition that fits; its plan keeps everything where nothing has to be planned", async () => {
  const scene = sceneOf({ copies: 5 });
  const alone = await eachAlone(scene);
  const { step, partitions } = await multiplexedStep(scene, alone, null);
  assert.ok(step);
  assert.deepEqual(
    partitions.map(({ sizes }) => sizes),
    [
      [3, 2],
      [2, 1, 1, 1],
      [1, 1, 1, 1, 1],
    ],
  );
  const { joint, found } = step;
  assert.deepEqual(joint.subArrays.flat(), ["m0", "m1", "m2", "m3", "m4"]);
  assert.equal(joint.lanes, 1);
  const values = jointValues(runtime, joint.graph, scene.trials);
  const { before } = await measureBuilt({ baseline: joint.graph, values }, runtime, scene.options);
  const plan = ringPlan(step, before, null);
  assert.deepEqual([plan.feasible, plan.decisions, plan.addedMs, plan.kept], [true, [], 0, before.activations.length]);
  const { graph, rotation } = executedGraph(joint.graph, plan);
  assert.ok(rotation);
  assert.equal(layout(graph).arenaBytes, plan.peakBytes);
  assert.deepEqual(graph.nodes, found.graph.nodes);
});

test("multiplexedStep simulates few partitions of many models, and says why of those that it does not", async () => {
  const scene = sceneOf({ copies: 40, vary: ["lr=0.1,0.2"] });
  const { partitions } = await multiplexedStep(scene, await eachAlone(scene), null);
  assert.deepEqual(
    partitions.map(({ sizes }) => sizes.length),
    [2, 4, 8, 40],
  );
  assert.deepEqual(
    partitions.map((row) => ("refused" in row ? row.refused : "")),
    ["", "", "", "not simulated: 40 sub-arrays, more than 16"],
  );
  const none = await multiplexedStep(scene, await eachAlone(scene), 1);
  assert.ok(none.step && !none.step.found.feasible && none.partitions.every((row) => !("chosen" in row)));
});
