import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { fused } from "../../src/run/arrange.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { fusedAgain } from "../../src/run/fused-again.js";
import type { Profile } from "../../src/run/profile.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import { at } from "../at.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** A profile in which each node takes as long as it is said to. */
const profileOf = (graph: Graph, ms: (name: string) => number, estimated = false): Profile =>
  ({ nodes: graph.nodes.map(({ name }) => ({ time: { medianMs: ms(name) } })), estimated }) as unknown as Profile;

test("fusedAgain(candidate) keeps those products side by side that took longer fused; null where none did, or nothing is known", () => {
  const options = { loss: "ce", optimizer: "sgd", copies: 4 };
  const trials = buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), options), cpu);
  const limitBytes = Number.POSITIVE_INFINITY;
  const runtime: Runtime = Object.create(cpu, { fuses: { value: true } });
  const joint = fused(cpu, trials, limitBytes, { most: 2 });
  assert.ok(joint);
  const alone = trials.map(({ baseline }) => ({ graph: baseline, profile: profileOf(baseline, () => 1) }));
  const product = trials[0]?.bound.graph.nodes.find(({ op }) => op === "Gemm")?.name as string;
  const scene = { runtime, trials, limitBytes, options };
  const slow = (name: string): number => (name.includes(product) ? 50 : 1);
  const again = fusedAgain({ joint, before: profileOf(joint.graph, slow) }, scene, alone);
  assert.deepEqual(again?.subArrays, [
    ["m0", "m1"],
    ["m2", "m3"],
  ]);
  assert.match(again?.notes.join() ?? "", /not fused in f0: 1 Gemm \(asked\)/);
  assert.equal(fusedAgain({ joint, before: profileOf(joint.graph, () => 0.1) }, scene, alone), null);
  assert.equal(fusedAgain({ joint, before: profileOf(joint.graph, slow, true) }, scene, alone), null);
  assert.equal(fusedAgain({ joint, before: profileOf(joint.graph, slow) }, { ...scene, runtime: cpu }, alone), null);
});
