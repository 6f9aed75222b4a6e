import assert from "node:assert/strict";
import { after, test } from "node:test";
import { tensorBytes, tensorOf } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { timeline } from "../../src/memory/liveness.js";
import { stateUses } from "../../src/memory/state-uses.js";
import { type Alone, eachAlone, fitCount, kindOf, warmMs, withoutPlan } from "../../src/run/alone.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { together } from "../../src/step/together.js";
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
  for (const [i, { graph, profile, residentBytes, stateBytes, least }] of alone.entries()) {
    assert.equal(graph.nodes.length, trials[i]?.baseline.nodes.length);
    const leastBytes = least?.minimumPeakBytes ?? 0;
    assert.ok(residentBytes < leastBytes && leastBytes <= profile.arenaBytes);
    // on the CPU, where nothing is copied unless that is asked for
    assert.equal(stateBytes, 0);
  }
  const scene = { runtime, options: planned, trials, limitBytes: 2 ** 30 };
  // as if the device had been slow, and as if it had been quick, when they were measured first
  const asIf = (medianMs: number): Alone[] => {
    const made = new Map(
      [...new Set(alone)].map((one) => [
        one,
        { ...one, profile: { ...one.profile, step: { ...one.profile.step, medianMs } } },
      ]),
    );
    return alone.map((one) => made.get(one) as Alone);
  };
  const warm = await warmMs(scene, asIf(1e9));
  assert.deepEqual([warm[0] === warm[1], warm[2] === warm[3]], [true, true]);
  assert.ok(warm.every((ms) => ms > 0 && ms < 1e6));
  assert.deepEqual(await warmMs(scene, asIf(1e-9)), [1e-9, 1e-9, 1e-9, 1e-9]);
});

test("fitCount counts peaks at once, and in turn as many as a joint step with the least plans can hold", () => {
  const options = { loss: "ce", optimizer: "sgd", copies: 1 };
  const trials = buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), options), runtime);
  const graph = trials[0]?.baseline as Alone["graph"];
  const residentBytes = timeline(graph).residentBytes;
  const { arenaBytes } = layout(graph);
  const one = { graph, profile: { arenaBytes }, residentBytes, stateBytes: 0, least: undefined } as unknown as Alone;
  const count = (limitBytes: number, alone: readonly Alone[], hostMemory?: string) =>
    fitCount({ runtime, trials, limitBytes, options: { ...options, hostMemory } }, alone);
  assert.equal(count(Number.POSITIVE_INFINITY, [one]), null);
  const inTurn = (models: number): number =>
    layout(
      together(
        runtime,
        Array.from({ length: models }, (_, i) => ({ name: `m${i}`, graph })),
        1,
      ),
    ).arenaBytes;
  for (const models of [1, 3, 6]) {
    const limitBytes = inTurn(models);
    assert.equal(count(limitBytes, [one])?.planned, models);
    assert.equal(count(limitBytes - 1, [one])?.planned, models - 1);
    assert.equal(count(limitBytes, [one])?.unplanned, Math.floor(limitBytes / arenaBytes));
  }
  // with states on the host, as many as that holds
  const stateBytes = [...stateUses(graph).keys()].reduce((sum, name) => sum + tensorBytes(tensorOf(graph, name)), 0);
  const hosted = { ...one, stateBytes };
  // two of them stay, beside the place that the others take in turn
  const limitBytes = inTurn(3) + 2 * (residentBytes - stateBytes);
  const all = count(limitBytes, [hosted])?.planned ?? 0;
  const some = count(limitBytes, [hosted], `${2 * stateBytes}B`)?.planned ?? 0;
  assert.ok(all > 2 * some && some === 4, `${all} and ${some}`);
});
