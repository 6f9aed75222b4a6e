import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { originalName } from "../../src/graph/names.js";
import { randomFrom } from "../../src/graph/random.js";
import { savedActivations } from "../../src/memory/activations.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { opOf } from "../../src/ops/index.js";
import type { SwapPlacement } from "../../src/plan/plan.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { stepTime } from "../../src/plan/step-time.js";
import { copyCostMs, openSwap, placeCopies, swapPlacement } from "../../src/plan/swap-placement.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { randomGraph } from "../random-graph.js";
import { chain } from "../swaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** Copies as if nothing else were there. */
const ideal = {
  slowdown: { out: 0, in: 0 },
  besideOther: { out: 1, in: 1 },
  besideKernels: 1,
  awaitMs: 0,
  margin: 1,
};

const each = (graph: Graph, ms: number): number[] => graph.nodes.map(() => ms);

/** Predicted step of a graph with these swaps, given the times of the graph's own nodes. */
function timeOf(
  graph: Graph,
  nodeMs: readonly number[],
  swapMs: ReadonlyMap<string, number>,
  placements?: ReadonlyMap<string, SwapPlacement>,
) {
  const planned = rewrite(
    graph,
    [...swapMs.keys()].map((activation) => {
      const swap = placements?.get(activation);
      return { activation, action: "swap" as const, ...(swap ? { swap } : {}) };
    }),
  );
  const ms = new Map(graph.nodes.map((node, rank) => [node.name, nodeMs[rank] as number]));
  const time = stepTime(
    planned,
    (node) => {
      const known = opOf(node).swap ? swapMs.get(originalName(node.name)) : ms.get(originalName(node.name));
      return known as number;
    },
    ideal,
  );
  const waited = [...time.copyMs.values()].reduce((sum, one) => sum + one, 0);
  return { planned, ...time, waited };
}

test("swapPlacement(graph, …): nodes of 1 ms, a swap of 2 ms: freed after two nodes, fetched two nodes before its use", () => {
  const swapMs = new Map([["a", 2]]);
  const placements = swapPlacement(chain, each(chain, 1), swapMs, ideal);
  // a is read by b last; c and d run during the copy. da reads it; db and j run during the copy back
  assert.deepEqual([...placements], [["a", { outDone: "e", prefetch: "db" }]]);
  assert.equal(timeOf(chain, each(chain, 1), swapMs, placements).totalMs, 13);
});

test("swapPlacement(graph, …): copies queue on one channel each way", () => {
  const swapMs = new Map([
    ["a", 2],
    ["b", 2],
  ]);
  const placements = swapPlacement(chain, each(chain, 1), swapMs, ideal);
  // b's copy to the host begins when a's is done, two nodes after a's last use; a's copy back when b's is done
  assert.deepEqual(placements.get("a"), { outDone: "e", prefetch: "db" });
  assert.deepEqual(placements.get("b"), { outDone: "g", prefetch: "h" });
  const slower = new Map([
    ["a", 3],
    ["b", 3],
  ]);
  const queued = swapPlacement(chain, each(chain, 1), slower, ideal);
  // four copies of 3 ms from 2 ms on take until 14 ms, when da may begin: 3 ms late at best. Waiting for the copies to
  // the host makes that no later, so d and f, before which two nodes run during each copy at most, wait for them
  assert.deepEqual(queued.get("a"), { outDone: "d", prefetch: "i" });
  assert.deepEqual(queued.get("b"), { outDone: "f", prefetch: "f" });
  const { totalMs, copyMs } = timeOf(chain, each(chain, 1), slower, queued);
  assert.deepEqual(
    [...copyMs],
    [
      ["a", 2],
      ["b", 1],
    ],
  );
  assert.equal(totalMs, 16);
});

test("swapPlacement(graph, …) of one activation hides it if any places do, and of those keeps the memory free longest", () => {
  const random = randomFrom(3);
  let hidden = 0;
  for (let round = 0; round < 40; round++) {
    // whole milliseconds, so that nothing is rounded
    const nodeMs = chain.nodes.map(() => Math.floor(3 * random()));
    const swapMs = new Map([[random() < 0.5 ? "a" : "b", Math.floor(9 * random())]]);
    const [name = ""] = swapMs.keys();
    const uses = savedActivations(chain).get(name);
    assert.ok(uses);
    const at = (rank: number): string => chain.nodes[rank]?.name as string;
    let least = Number.POSITIVE_INFINITY;
    let longest = -1;
    const away = (outDone: number, prefetch: number): number =>
      nodeMs.slice(outDone, prefetch).reduce((sum, ms) => sum + ms, 0);
    for (let outDone = uses.lastForwardAccess + 1; outDone <= uses.firstBackwardAccess; outDone++)
      for (let prefetch = outDone; prefetch <= uses.firstBackwardAccess; prefetch++) {
        const one = new Map([[name, { outDone: at(outDone), prefetch: at(prefetch) }]]);
        const { waited } = timeOf(chain, nodeMs, swapMs, one);
        if (waited < least) [least, longest] = [waited, -1];
        if (waited === least) longest = Math.max(longest, away(outDone, prefetch));
      }
    const placements = swapPlacement(chain, nodeMs, swapMs, ideal);
    const { outDone, prefetch } = placements.get(name) as SwapPlacement;
    const rank = (node: string): number => chain.nodes.findIndex((other) => other.name === node);
    const told = JSON.stringify({ nodeMs, swapMs: [...swapMs], placements: [...placements] });
    const { waited } = timeOf(chain, nodeMs, swapMs, placements);
    if (least === 0) {
      hidden++;
      assert.equal(waited, 0, told);
      assert.equal(away(rank(outDone), rank(prefetch)), longest, told);
    }
    // where nothing hides both copies, the second waits for a node to begin before
    else assert.ok(waited < least + Math.max(...nodeMs), told);
  }
  assert.ok(hidden > 10 && hidden < 30, `${hidden}`);
});

test("swapPlacement(graph, …) of everything in random graphs: never slower than waiting at once, peak never above the baseline", () => {
  for (let seed = 1; seed <= 15; seed++) {
    const step = trainingStep(randomGraph(seed).graph, { loss: "mse", optimizer: "sgd" });
    const graph = lower(step, runtime.hasKernel);
    const random = randomFrom(seed);
    const nodeMs = graph.nodes.map((node) => (opOf(node).view ? 0 : random()));
    const names = [...savedActivations(graph).keys()];
    for (const speed of [0.01, 0.3, 3]) {
      const swapMs = new Map(names.map((name) => [name, speed * random()]));
      const placements = swapPlacement(graph, nodeMs, swapMs, ideal);
      const { planned, totalMs, waited } = timeOf(graph, nodeMs, swapMs, placements);
      assert.ok(totalMs <= timeOf(graph, nodeMs, swapMs).totalMs + 1e-9, `seed ${seed}`);
      assert.ok(Math.abs(nodeMs.reduce((sum, ms) => sum + ms, 0) + waited - totalMs) < 1e-9);
      assert.ok(peakBytes(planned) <= peakBytes(graph));
    }
  }
});

test("swapPlacement(graph, …) sees recomputation, and refuses an unknown activation", () => {
  const recomputing = rewrite(chain, [{ activation: "b", action: "recompute" }]);
  assert.equal(recomputing.nodes.length, chain.nodes.length + 1);
  // b@recompute, before db, reads a: a must be back two nodes earlier
  const placements = swapPlacement(recomputing, each(recomputing, 1), new Map([["a", 2]]), ideal);
  assert.deepEqual(placements.get("a"), { outDone: "e", prefetch: "h" });
  assert.throws(() => swapPlacement(chain, each(chain, 1), new Map([["c", 1]])), /^Error: unknown activation: c$/);
});

test("placeCopies(…, earliest): Figure 6 of μ-TWO, copies begin at the last node that hides them, after the peak interval", () => {
  // nodes Z of the other model stand where the figure puts them; the peak interval ends with dW5
  const forward = ["A1", "A2", "A3", "A4", "A5"];
  const names = [...forward, ..."dZ5 dW5 dZ4 dW4 dZ3 Z1 dW3 dZ2 Z2 Z3 dW2 dZ1 dW1".split(" ")];
  const nodeMs = Float64Array.from(names, (_, rank) => (rank < forward.length ? 10 : 1));
  const swaps = ["dW2", "dW3", "dW4", "dW5"].map((deadline, i) => ({
    ...openSwap(i, 2, names.indexOf("dZ4")),
    created: i,
    lastForwardAccess: i,
    firstBackwardAccess: names.indexOf(deadline),
  }));
  const queues = placeCopies(nodeMs, swaps, ideal);
  assert.deepEqual(
    swaps.map(({ prefetch }) => names[prefetch]),
    ["Z2", "dZ3", "dZ4", "dW5"],
  );
  // case 3 waits for 1 ms, case 1(a) for 2 ms; both of 2(b) are hidden
  assert.equal(copyCostMs(nodeMs, queues, ideal), 3);
});
