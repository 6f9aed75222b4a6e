import assert from "node:assert/strict";
import { after, test } from "node:test";
import { savedActivations } from "../../src/memory/activations.js";
import { layout } from "../../src/memory/layout.js";
import { readModel } from "../../src/model/read.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { profileGraph, profileOffloaded } from "../../src/run/profile.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { initialValues, seededGraph } from "../../src/step/initial.js";
import { lowerFor } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";

const runtime = openCpu();

after(() => runtime.close());

const step = trainingStep(readModel("test/fixtures/mlp.ts.onnx", { runtime }).graph, { loss: "mse", optimizer: "sgd" });

const graph = seededGraph(lowerFor(runtime, step), 0);

const values = initialValues(graph, step, 0);

test("profileGraph(graph) measures every node and every step, and allocates what the layout says", async () => {
  const calls: (readonly [number, number])[] = [];
  const onProgress = (done: number, total: number): void => void calls.push([done, total]);
  const profile = await profileGraph(graph, runtime, { values, iterations: 3, warmups: 1, onProgress });
  assert.deepEqual([profile.step.samplesMs.length, profile.losses.length], [3, 1 + 2 * 3]);
  assert.deepEqual(calls.at(-1), [7, 7]);
  assert.equal(profile.arenaBytes, layout(graph).arenaBytes);
  assert.equal(profile.allocatedBytes, profile.arenaBytes);
  assert.equal(profile.nodes.length, graph.nodes.length);
  assert.deepEqual([profile.copies, profile.memory, profile.eagerStep], [null, null, null]);
  // every iteration is a real step: the loss falls
  assert.ok((profile.losses.at(-1) ?? 1) < (profile.losses[0] ?? 0));
});

test("profileGraph(graph, {signal}) stops with the signal's reason", async () => {
  const signal = AbortSignal.abort(new Error("interrupted"));
  await assert.rejects(profileGraph(graph, runtime, { values, signal }), /^Error: interrupted$/);
});

test("profileOffloaded(graph, swapped, measured) takes each node's time from the swapped step, by name", async () => {
  const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
  const swapped = rewrite(graph, all);
  const measured = await profileGraph(swapped, runtime, { values, iterations: 1, warmups: 0 });
  const profile = profileOffloaded(graph, swapped, measured);
  const times = new Map(swapped.nodes.map((node, rank) => [node.name, measured.nodes[rank]?.time.medianMs]));
  assert.deepEqual(
    profile.nodes.map(({ name, time }) => [name, time.medianMs]),
    graph.nodes.map(({ name }) => [name, times.get(name)]),
  );
  assert.equal(profile.step.medianMs, profile.nodesMs);
  assert.equal(profile.allocatedBytes, 0);
  assert.equal(profile.arenaBytes, layout(graph).arenaBytes);
  assert.deepEqual(profile.offloaded, { allocatedBytes: measured.allocatedBytes, step: measured.step });
  assert.deepEqual(profile.losses, measured.losses);
  // what was overlaid computed something else
  assert.deepEqual(profileOffloaded(graph, swapped, measured, true).losses, []);
});
