import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph, Node } from "../../src/graph/graph.js";
import { originalName } from "../../src/graph/names.js";
import { randomFrom } from "../../src/graph/random.js";
import { savedActivations } from "../../src/memory/activations.js";
import { opOf } from "../../src/ops/index.js";
import { type Direction, type LinkTraits, pcieLink } from "../../src/plan/link.js";
import type { SwapPlacement } from "../../src/plan/plan.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { type Span, type StepTime, stepTime } from "../../src/plan/step-time.js";
import { swapPlacement } from "../../src/plan/swap-placement.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { randomGraph } from "../random-graph.js";
import { chain, ideal } from "../swaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const swapOfA = (swap?: SwapPlacement): Graph =>
  rewrite(chain, [{ activation: "a", action: "swap", ...(swap ? { swap } : {}) }]);

/** Times of a graph of nodes of 1 ms and copies of 2 ms. */
const timed = (graph: Graph, traits: LinkTraits): StepTime =>
  stepTime(graph, (node) => (opOf(node).swap ? 2 : 1), traits);

test("stepTime(graph, …) counts that kernels beside a copy take longer, by a share of the copy's time", () => {
  const planned = swapOfA({ outDone: "e", prefetch: "db" });
  const time = (slowdown: number): number =>
    timed(planned, { ...ideal, slowdown: { out: slowdown, in: slowdown } }).totalMs;
  assert.ok(Math.abs(time(0.25) - time(0) - 0.25 * (2 + 2)) < 1e-9, "both copies run beside other nodes");
});

test("stepTime(graph, …) of a swap without a placement waits for both copies in full", () => {
  const planned = swapOfA();
  const { totalMs, copyMs, waitedMs, spans } = timed(planned, ideal);
  assert.deepEqual([totalMs, [...copyMs], [...waitedMs.values()]], [13 + 4, [["a", 4]], [2, 2]]);
  const spanOf = (name: string): Span | undefined => spans[planned.nodes.findIndex((node) => node.name === name)];
  // a's last forward use is the second node
  assert.deepEqual(spanOf("a@swap/out"), { beginMs: 2, endMs: 4 });
  assert.deepEqual(spanOf("a@swap/host"), { beginMs: 2, endMs: 4 });
  assert.deepEqual(spanOf("c"), { beginMs: 4, endMs: 5 });
  assert.deepEqual(spanOf("da"), { beginMs: 15, endMs: 16 });
});

test("stepTime(graph, …) gives a hidden copy the time that it takes, beside the nodes", () => {
  const planned = swapOfA({ outDone: "e", prefetch: "db" });
  const { totalMs, spans, reachedMs } = timed(planned, ideal);
  const at = (name: string): number => planned.nodes.findIndex((node) => node.name === name);
  assert.equal(totalMs, 13);
  assert.deepEqual(spans[at("a@swap/out")], { beginMs: 2, endMs: 4 });
  assert.deepEqual(spans[at("a@swap/in")], { beginMs: 9, endMs: 11 });
  assert.equal(reachedMs[at("a@swap/in")], 9);
  const slow = timed(planned, { ...ideal, slowdown: { out: 0.25, in: 0 }, besideKernels: 0.5 });
  // four nodes at half the rate, and what they have lost when node e awaits it
  assert.deepEqual(slow.spans[at("a@swap/out")], { beginMs: 2, endMs: 5 });
  assert.equal(slow.waitedMs.get(at("a@swap/host")), 1);
  assert.deepEqual(slow.spans[at("a@swap/host")], { beginMs: 4, endMs: 5.25 });
});

test("stepTime(graph, …, swapNodeMs) takes measured times of a swap's parts, and places its copies beside them", () => {
  const planned = swapOfA({ outDone: "e", prefetch: "db" });
  const msOf = (node: Node): number => (opOf(node).swap ? 2 : 1);
  const { totalMs, spans, reachedMs } = stepTime(planned, msOf, ideal, () => 0.5);
  const at = (name: string): number => planned.nodes.findIndex((node) => node.name === name);
  assert.equal(totalMs, 13 + 4 * 0.5);
  assert.deepEqual(spans[at("a@swap/out")], { beginMs: 2, endMs: 4 });
  assert.deepEqual(spans[at("a@swap/host")], { beginMs: 4.5, endMs: 5 });
  assert.deepEqual(spans[at("c")], { beginMs: 2.5, endMs: 3.5 });
  assert.equal(reachedMs[at("a@swap/in") + 1], (reachedMs[at("a@swap/in")] as number) + 0.5);
  // a copy is complete when it was awaited, however long it takes by simulation
  const slow = stepTime(
    planned,
    (node) => (opOf(node).swap ? 9 : 1),
    ideal,
    () => 0.5,
  );
  assert.deepEqual(slow.spans[at("a@swap/out")], { beginMs: 2, endMs: 5 });
});

/** Checks that spans say what the link can do; returns how many copies there are. */
function checkSpans(graph: Graph, time: StepTime, msOf: (node: Node) => number): number {
  const near = (a: number, z: number): boolean => Math.abs(a - z) < 1e-9;
  let now = 0;
  let count = 0;
  const lastEnd: Record<Direction, number> = { out: 0, in: 0 };
  const copies = new Map<string, Span>();
  graph.nodes.forEach((node, rank) => {
    const span = time.spans[rank] as Span;
    const { swap } = opOf(node);
    assert.ok(near(time.reachedMs[rank] as number, now), node.name);
    if (swap === "out" || swap === "in") {
      count++;
      assert.ok(span.beginMs >= now - 1e-9 && span.beginMs >= lastEnd[swap] - 1e-9, `${node.name} begins too early`);
      assert.ok(span.endMs - span.beginMs >= msOf(node) - 1e-9, `${node.name} is too fast`);
      lastEnd[swap] = span.endMs;
      copies.set(node.outputs[0] as string, span);
      return;
    }
    assert.ok(near(span.beginMs, now), node.name);
    if (swap) {
      const standing = time.waitedMs.get(rank) as number;
      const copy = copies.get(node.inputs[0] as string);
      assert.ok(copy && copy.endMs <= now + standing + 1e-9, `${node.name} is over before its copy`);
      if (standing > 0) assert.ok(near(copy.endMs, now + standing), `${node.name} stands still for nothing`);
    } else assert.ok(near(span.endMs - span.beginMs, msOf(node)), node.name);
    now = span.endMs;
  });
  assert.ok(near(now, time.totalMs));
  return count;
}

test("stepTime(graph, …).spans of random graphs: nodes without gaps, copies one after the other, complete when awaited", () => {
  let copies = 0;
  for (let seed = 1; seed <= 15; seed++) {
    const step = trainingStep(randomGraph(seed).graph, { loss: "mse", optimizer: "sgd" });
    const graph = lower(step, runtime.hasKernel);
    const random = randomFrom(seed);
    const nodeMs = new Map(graph.nodes.map((node) => [node.name, opOf(node).view ? 0 : random()]));
    const names = [...savedActivations(graph).keys()];
    for (const speed of [0, 0.3, 3])
      for (const isPlaced of [true, false]) {
        const swapMs = new Map(names.map((name) => [name, speed * random()]));
        const placements = isPlaced ? swapPlacement(graph, [...nodeMs.values()], swapMs) : undefined;
        const planned = rewrite(
          graph,
          names.map((activation) => {
            const swap = placements?.get(activation);
            return { activation, action: "swap" as const, ...(swap ? { swap } : {}) };
          }),
        );
        const msOf = (node: Node): number => (opOf(node).swap ? swapMs : nodeMs).get(originalName(node.name)) as number;
        copies += checkSpans(planned, stepTime(planned, msOf, pcieLink), msOf);
      }
  }
  assert.ok(copies > 500, `${copies}`);
});
