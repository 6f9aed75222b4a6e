import { type Graph, type Node, tensorBytes, tensorOf } from "../../graph/graph.js";
import { timeline } from "../../memory/liveness.js";
import { storages } from "../../memory/storages.js";
import { opOf } from "../../ops/index.js";
import type { Decision, PlanProblem } from "../plan.js";

/**
 * μ-TWO's Algorithm G as printed, for one model: what the node itself needs, plus the intermediates that wait between
 * their last forward and first backward use. Temporaries of a recomputation and gradients that wait are invisible to
 * it, so it is shown beside the exact timeline and decides nothing.
 */
export function printedPeakBytes(
  { graph, rows }: Pick<PlanProblem, "graph" | "rows">,
  decisions: readonly Pick<Decision, "activation" | "action" | "swap">[],
): number {
  const decided = new Map(decisions.map((decision) => [decision.activation, decision]));
  const rank = new Map(graph.nodes.map((node, index) => [node.name, index]));
  const lastForward = new Map<number, number>();
  const firstBackward = new Map<number, number>();
  const add = (map: Map<number, number>, rank: number, bytes: number): void =>
    void map.set(rank, (map.get(rank) ?? 0) + bytes);
  for (const row of rows) {
    const decision = decided.get(row.name);
    if (decision) {
      // deleted after its last forward use, and counted again from where it is made again or comes back: at the first
      // backward use that nets to 0
      const prefetch = rank.get(decision.swap?.prefetch ?? "") ?? row.firstBackwardAccess;
      add(firstBackward, prefetch, -row.memoryBytes);
      add(firstBackward, row.firstBackwardAccess, row.memoryBytes);
      continue;
    }
    add(lastForward, row.lastForwardAccess, row.memoryBytes);
    add(firstBackward, row.firstBackwardAccess, row.memoryBytes);
  }
  const { residentBytes } = timeline(graph);
  const { of } = storages(graph);
  let waiting = 0;
  let peak = 0;
  graph.nodes.forEach((node, rank) => {
    waiting -= firstBackward.get(rank) ?? 0;
    peak = Math.max(
      peak,
      residentBytes + activeBytes(graph, node, (name) => of.get(name)?.storage.resident ?? true) + waiting,
    );
    waiting += lastForward.get(rank) ?? 0;
  });
  return peak;
}

/** Bytes of a node's inputs and outputs, residents excepted. */
function activeBytes(graph: Graph, node: Node, isResident: (name: string) => boolean): number {
  if (opOf(node).view) return 0;
  const names = new Set([...node.inputs, ...node.outputs].filter((name) => name && !isResident(name)));
  return [...names].reduce((sum, name) => sum + tensorBytes(tensorOf(graph, name)), 0);
}
