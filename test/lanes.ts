import type { Graph } from "../src/graph/graph.js";
import { randomFrom } from "../src/graph/random.js";
import { savedActivations } from "../src/memory/activations.js";
import type { Decision } from "../src/plan/plan.js";

/** A graph whose nodes have these lanes and stages. */
export const placed = (graph: Graph, place: (rank: number) => { lane: number; stage: number }): Graph => ({
  ...graph,
  nodes: graph.nodes.map((node, rank) => ({ ...node, ...place(rank) })),
});

/** Lanes and stages drawn at random, in runs of nodes or node by node. */
export function drawnLanes(graph: Graph, seed: number): Graph {
  const random = randomFrom(seed + 1);
  const [lanes, change] = [2 + Math.floor(random() * 3), random() < 0.5 ? 1 : 0.1];
  let [lane, stage] = [0, 0];
  return placed(graph, () => {
    if (random() < change) lane = Math.floor(random() * lanes);
    if (random() < 0.03) stage++;
    return { lane, stage };
  });
}

/** Some of the step's activations recomputed or swapped. */
export function drawnDecisions(graph: Graph, seed: number): Pick<Decision, "activation" | "action" | "held">[] {
  const random = randomFrom(seed + 2);
  return [...savedActivations(graph)].flatMap(
    ([activation, { fixed }]): Pick<Decision, "activation" | "action" | "held">[] => {
      const draw = random();
      if (draw < 0.4) return [];
      if (fixed !== null || draw < 0.6) return [{ activation, action: "swap" }];
      return [{ activation, action: "recompute", ...(draw < 0.8 ? { held: true } : {}) }];
    },
  );
}
