import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { placeOf, stagesOf } from "../../src/graph/lanes.js";
import { opOf } from "../../src/ops/index.js";
import { capacityOf, laneTime } from "../../src/plan/lane-time.js";
import type {} from "../../src/plan/link.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { stepTime } from "../../src/plan/step-time.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { stepFor } from "../../src/step/step.js";
import { drawnDecisions, drawnLanes, placed } from "../lanes.js";
import { randomGraph } from "../random-graph.js";
import { chain, ideal } from "../swaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const near = (a: number, z: number): void => assert.ok(Math.abs(a - z) < 1e-6 * Math.max(1, z), `${a} is not ${z}`);

/** A step of random nodes and times, planned at random; node times by name. */
function random(seed: number) {
  const { baseline } = stepFor(runtime, randomGraph(seed).graph, { loss: "mse", optimizer: "sgd" }, seed);
  const graph = rewrite(baseline, drawnDecisions(baseline, seed));
  const msOf = (node: Node): number => {
    const { swap, view } = opOf(node);
    if (swap) return swap === "out" || swap === "in" ? 3 + (node.name.length % 3) : 0;
    return view ? 0 : 1 + (node.name.length % 5);
  };
  return { graph, msOf };
}

test("laneTime(graph) of one lane is what stepTime says, whatever the capacity", () => {
  for (let seed = 0; seed < 8; seed++) {
    const { graph, msOf } = random(seed);
    const plain = stepTime(graph, msOf, ideal);
    for (const capacity of [1, 3]) {
      const lanes = laneTime(graph, msOf, capacity, ideal);
      near(lanes.totalMs, plain.totalMs);
      graph.nodes.forEach(({ name }, rank) => {
        near(lanes.spans[rank]?.beginMs ?? -1, plain.spans[rank]?.beginMs ?? -2);
        near(lanes.spans[rank]?.endMs ?? -1, plain.spans[rank]?.endMs ?? -2);
        near(lanes.waitedMs.get(rank) ?? 0, plain.waitedMs.get(rank) ?? 0);
        assert.ok(name);
      });
      assert.deepEqual([...lanes.copyMs.keys()].sort(), [...plain.copyMs.keys()].sort());
    }
  }
});

const pair = parseGraph("graph(float32[3] x) => (y, z) { a = Neg(x) b = Abs(a) y = Exp(b) p = Neg(x) z = Abs(p) }");

/** Lane 0 has three nodes, lane 1 two. */
const lanes = (graph: Graph) => placed(graph, (rank) => ({ lane: rank < 3 ? 0 : 1, stage: 0 }));

test("laneTime(graph) of two lanes: both at full speed, or each as slow as the device has work", () => {
  const time = (capacity: number): number => laneTime(lanes(pair), () => 1, capacity).totalMs;
  near(time(2), 3);
  near(time(4), 3);
  near(time(1), 5);
  // two nodes beside each other at three quarters of their speed, and one alone
  near(time(1.5), 2 / 0.75 + 1);
});

test("laneTime(graph) lets stages follow one another, and nodes wait for what other lanes make", () => {
  const staged = placed(pair, (rank) => ({ lane: rank < 3 ? 0 : 1, stage: rank < 3 ? 0 : 1 }));
  near(laneTime(staged, () => 1, 2, ideal).totalMs, 5);
  // where stages meet one stream waits for another
  near(laneTime(staged, () => 1, 2, { ...ideal, awaitMs: 0.25 }).totalMs, 5.25);
  near(laneTime(lanes(pair), () => 1, 2, { ...ideal, awaitMs: 0.25 }).totalMs, 3);
  // y is in the lane of p and z, and waits for b; z waits for y, which stands before it
  const crossing = placed(pair, (rank) => ({ lane: rank < 2 ? 0 : 1, stage: 0 }));
  const { totalMs, spans, reachedMs } = laneTime(crossing, () => 1, 2);
  near(totalMs, 5);
  near(reachedMs[2] as number, 2);
  near(spans[4]?.endMs as number, 5);
});

test("laneTime(graph) hides one lane's waits behind the other's nodes", () => {
  const planned = rewrite(chain, [{ activation: "a", action: "swap" }]);
  const msOf = (node: Node): number => (opOf(node).swap ? 2 : opOf(node).view ? 0 : 1);
  const alone = stepTime(planned, msOf, ideal);
  const waited = [...alone.waitedMs.values()].reduce((sum, ms) => sum + ms, 0);
  assert.ok(waited > 0);
  const beside = { ...(planned.nodes[0] as Node), name: "other", inputs: ["b"], outputs: ["y2"], lane: 1 };
  const type = planned.tensors.get((planned.nodes[0] as Node).outputs[0] as string);
  const tensors = new Map(planned.tensors);
  tensors.set("y2", { ...(type as NonNullable<typeof type>), name: "y2" });
  // it begins when b is made, and the copy of a is awaited
  const graph: Graph = {
    ...planned,
    tensors,
    nodes: [...planned.nodes.slice(0, 2), beside, ...planned.nodes.slice(2)],
  };
  const time = (ms: number): number =>
    laneTime(graph, (node) => (node.name === "other" ? ms : msOf(node)), 1, ideal).totalMs;
  // on a device that does one thing at a time the other lane takes what the waits leave
  near(time(waited / 2), alone.totalMs);
  near(time(waited / 2 + 3), alone.totalMs + 3);
});

test("laneTime(graph) lies between the longest lane of each stage and one node after the other, and falls with the capacity", () => {
  for (let seed = 0; seed < 8; seed++) {
    const { graph: plain, msOf } = random(seed + 20);
    if (plain.nodes.some((node) => opOf(node).swap)) continue;
    const graph = drawnLanes(plain, seed);
    let least = 0;
    for (const { first, last } of stagesOf(graph.nodes)) {
      const sums = new Map<number, number>();
      for (const node of graph.nodes.slice(first, last + 1))
        sums.set(placeOf(node).lane, (sums.get(placeOf(node).lane) ?? 0) + msOf(node));
      least += Math.max(...sums.values());
    }
    const most = graph.nodes.reduce((sum, node) => sum + msOf(node), 0);
    let before = most;
    for (const capacity of [1, 1.3, 2, 5]) {
      const { totalMs } = laneTime(graph, msOf, capacity);
      assert.ok(totalMs <= before + 1e-6 && totalMs >= least - 1e-6, `seed ${seed}: ${least} ${totalMs} ${before}`);
      before = totalMs;
    }
    near(laneTime(graph, msOf, 1).totalMs, most);
  }
});

test("capacityOf(graph, times, step) is the capacity with which the step takes so long", () => {
  const graph = lanes(pair);
  const nodeMs = graph.nodes.map(() => 1);
  for (const capacity of [1, 1.25, 1.9, 2]) {
    const { totalMs } = laneTime(graph, () => 1, capacity);
    const found = capacityOf(graph, nodeMs, totalMs);
    assert.ok(Math.abs(found - capacity) < 1e-3, `${found} is not ${capacity}`);
  }
  // slower than one after the other, faster than can be
  assert.ok(capacityOf(graph, nodeMs, 9) < 1.001);
  assert.ok(capacityOf(graph, nodeMs, 1) > 1.999);
});
