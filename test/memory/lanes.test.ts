import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph, Node } from "../../src/graph/graph.js";
import { placeOf, stagesOf } from "../../src/graph/lanes.js";
import { savedActivations } from "../../src/memory/activations.js";
import { concurrentPeakBytes, lanesOf } from "../../src/memory/lanes.js";
import { idlePieces, layout } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { type Storage, storages } from "../../src/memory/storages.js";
import { opOf } from "../../src/ops/index.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { stepFor } from "../../src/step/step.js";
import { together } from "../../src/step/together.js";
import { drawnLanes as drawn, drawnDecisions, placed } from "../lanes.js";
import { fixtureStep } from "../problem.js";
import { randomGraph } from "../random-graph.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const stepOf = (seed: number): Graph =>
  stepFor(runtime, randomGraph(seed).graph, { loss: "mse", optimizer: "adam" }, seed).baseline;

/** The ranks of the nodes that touch a storage when they run. */
function usersOf(graph: Graph): Map<Storage, number[]> {
  const { of, all, host } = storages(graph);
  const users = new Map<Storage, number[]>([...all, ...host].map((storage) => [storage, []]));
  graph.nodes.forEach((node, rank) => {
    if (opOf(node).view && !opOf(node).swap) return;
    for (const name of [...node.inputs, ...node.outputs].filter(Boolean)) {
      const place = of.get(name)?.storage;
      const touched = place ? [place] : all.filter(({ within }) => within?.tensor === name);
      for (const storage of touched) users.get(storage)?.push(rank);
    }
  });
  return users;
}

/** Whether one node is over before another begins, whichever lanes are faster. */
function isBefore(graph: Graph, one: number, other: number): boolean {
  const [a, z] = [one, other].map((rank) => placeOf(graph.nodes[rank] as Node)) as [
    ReturnType<typeof placeOf>,
    ReturnType<typeof placeOf>,
  ];
  return a.stage < z.stage || (a.lane === z.lane && one < other);
}

/** Pairs of storages that share bytes though nodes of both may run at the same time. */
function clashes(graph: Graph): string[] {
  const { all, host } = storages(graph);
  const { offsets, hostOffsets } = layout(graph);
  const users = usersOf(graph);
  const last = graph.nodes.length - 1;
  const precedes = (a: Storage, z: Storage): boolean =>
    a.end < last + (graph.outputs.includes(a.name) ? 0 : 1) &&
    (users.get(a) as number[]).every((one) => (users.get(z) as number[]).every((other) => isBefore(graph, one, other)));
  const found: string[] = [];
  for (const [list, places] of [[all, offsets] as const, [host, hostOffsets] as const])
    list.forEach((a, i) => {
      const start = places.get(a.name) as number;
      for (const z of list.slice(i + 1)) {
        // parts of one flat buffer have their places from the graph
        if (a.within && z.within) continue;
        const at = places.get(z.name) as number;
        if (start >= at + z.bytes || at >= start + a.bytes || a.resident || z.resident) continue;
        if (!precedes(a, z) && !precedes(z, a)) found.push(`${a.name} ${z.name}`);
      }
    });
  return found;
}

test("layout(graph) with lanes and stages at random: what may live at the same time never shares a place", () => {
  for (let seed = 0; seed < 16; seed++) {
    const unplanned = drawn(stepOf(seed), seed);
    const graph = seed % 2 ? rewrite(unplanned, drawnDecisions(unplanned, seed)) : unplanned;
    assert.deepEqual(clashes(graph), [], `seed ${seed}`);
    assert.ok(layout(graph).arenaBytes >= concurrentPeakBytes(graph), `seed ${seed}`);
    assert.ok(concurrentPeakBytes(graph) >= peakBytes(graph), `seed ${seed}`);
  }
});

test("layout(graph) of steps side by side takes hardly more than the steps take alone, with plans too", () => {
  const mlp = fixtureStep(runtime, "mlp.ts.onnx", { loss: "mse", optimizer: "adam" });
  const resnet = fixtureStep(runtime, "resnet_basic.ts.onnx", { loss: "mse", optimizer: "sgd" });
  const saved = [...savedActivations(resnet).entries()];
  const decisions = saved.map(([activation, { fixed }], i) => ({
    activation,
    action: fixed !== null || i % 2 ? ("swap" as const) : ("recompute" as const),
  }));
  const planned = rewrite(resnet, decisions);
  const members = [mlp, planned, resnet, planned].map((graph, i) => ({ name: `m${i}`, graph }));
  const graph = together(runtime, members, members.length);
  assert.deepEqual(clashes(graph), []);
  const alone = members.reduce((sum, one) => sum + layout(one.graph).arenaBytes, 0);
  assert.ok(layout(graph).arenaBytes <= 1.04 * alone, `${layout(graph).arenaBytes} of ${alone}`);
  assert.ok(layout(graph).arenaBytes >= concurrentPeakBytes(graph));
});

test("lanes of later stages use what those of earlier ones have left", () => {
  const mlp = fixtureStep(runtime, "mlp.ts.onnx", { loss: "mse", optimizer: "sgd" });
  const members = [0, 1, 2, 3].map((i) => ({ name: `m${i}`, graph: mlp }));
  const pairs = together(runtime, members);
  // m0 beside m1, then m2 beside m3
  const graph = placed(pairs, (rank) => {
    const member = Number(pairs.nodes[rank]?.name.match(/^m(\d)/)?.[1] ?? 4);
    return { lane: member % 2, stage: member >> 1 };
  });
  assert.deepEqual(
    stagesOf(graph.nodes).map(({ lanes }) => lanes.size),
    [2, 2, 1],
  );
  assert.deepEqual(clashes(graph), []);
  const one = concurrentPeakBytes(mlp) - storages(mlp).all.reduce((sum, s) => sum + (s.resident ? s.bytes : 0), 0);
  const all = concurrentPeakBytes(graph) - storages(graph).all.reduce((sum, s) => sum + (s.resident ? s.bytes : 0), 0);
  assert.ok(all >= 1.9 * one && all < 2.1 * one, `${all} for two of ${one}`);
  assert.ok(layout(graph).arenaBytes <= 1.02 * concurrentPeakBytes(graph));
});

test("a graph of one lane has no lanes, and its peak is the plain one", () => {
  const mlp = fixtureStep(runtime, "mlp.ts.onnx", { loss: "mse", optimizer: "adam" });
  assert.equal(lanesOf(mlp), undefined);
  assert.equal(lanesOf(placed(mlp, () => ({ lane: 3, stage: 0 }))), undefined);
  assert.ok(Math.abs(concurrentPeakBytes(mlp) / peakBytes(mlp) - 1) < 0.01);
});

test("idlePieces(graph) of nodes that may run at the same time overlap neither each other nor what lives", () => {
  for (let seed = 0; seed < 6; seed++) {
    const graph = drawn(stepOf(seed), seed);
    const places = layout(graph);
    const pieces = idlePieces(graph, places);
    const users = usersOf(graph);
    const doMeet = (at: number, bytes: number, other: number, otherBytes: number): boolean =>
      at < other + otherBytes && other < at + bytes;
    graph.nodes.forEach((_, rank) => {
      const { offset, bytes } = pieces[rank] as { offset: number; bytes: number };
      assert.ok(offset + bytes <= places.arenaBytes);
      for (let other = 0; other < graph.nodes.length; other++) {
        if (other === rank || isBefore(graph, rank, other) || isBefore(graph, other, rank)) continue;
        const theirs = pieces[other] as { offset: number; bytes: number };
        assert.ok(!doMeet(offset, bytes, theirs.offset, theirs.bytes), `seed ${seed}, nodes ${rank} and ${other}`);
      }
      for (const storage of storages(graph).all) {
        const at = places.offsets.get(storage.name) as number;
        if (!doMeet(offset, bytes, at, storage.bytes)) continue;
        assert.ok(!storage.resident, `seed ${seed}, node ${rank}: ${storage.name}`);
        const uses = users.get(storage) as number[];
        const isOver = uses.every((use) => isBefore(graph, use, rank)) && !graph.outputs.includes(storage.name);
        const isToCome = uses.every((use) => isBefore(graph, rank, use));
        assert.ok(isOver || isToCome, `seed ${seed}, node ${rank}: ${storage.name}`);
      }
    });
  }
});
