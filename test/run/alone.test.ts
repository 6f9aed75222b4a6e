import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Alone, eachAlone, fitCount, kindOf, withoutPlan } from "../../src/run/alone.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

test("eachAlone measures one model of each kind: settings of the optimizer and seeds make none", async () => {
  const options = {
    loss: "ce",
    optimizer: "sgd",
    copies: 4,
    vary: ["lr=1e-3,1e-2", "accumulate=1,1,2,2"],
    iterations: 1,
  };
  const trials = buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), options), runtime);
  assert.equal(new Set(trials.map(kindOf)).size, 2);
  const planned = { ...options, warmups: 1, budget: "1MiB", planner: "mutwo", maxSlowdown: "5%" };
  assert.deepEqual(Object.keys(withoutPlan(planned)).sort(), [...Object.keys(options), "warmups"].sort());
  const alone = await eachAlone({ runtime, options: planned, trials, limitBytes: 2 ** 30 });
  assert.equal(alone[0], alone[1]);
  assert.notEqual(alone[1], alone[2]);
  for (const [i, { graph, profile, residentBytes, leastBytes }] of alone.entries()) {
    assert.equal(graph.nodes.length, trials[i]?.baseline.nodes.length);
    assert.ok(residentBytes < leastBytes && leastBytes <= profile.arenaBytes);
  }
});

test("fitCount counts peaks at once, and residents of all with the largest rest in turn", () => {
  const one = { profile: { arenaBytes: 10 }, residentBytes: 3, leastBytes: 5 } as Alone;
  const two = { profile: { arenaBytes: 20 }, residentBytes: 4, leastBytes: 9 } as Alone;
  assert.equal(fitCount([one], Number.POSITIVE_INFINITY), null);
  assert.deepEqual(fitCount([one], 32), { limitBytes: 32, unplanned: 3, planned: 10 });
  assert.deepEqual(fitCount([one, two], 32), { limitBytes: 32, unplanned: 2, planned: 7 });
  assert.deepEqual(fitCount([one], 4), { limitBytes: 4, unplanned: 0, planned: 0 });
});
