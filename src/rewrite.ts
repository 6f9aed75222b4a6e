import { type Graph, type Node, prune, type Tensor } from "./graph.js";
import type { Decision, SwapPlacement } from "./plan.js";
import { producerRanks, recomputeRanks, savedActivations } from "./saved.js";
import { insertSwaps } from "./swap.js";

/** Name of a recomputed copy; further copies of the same thing are numbered. */
const copyName = (name: string, count: number): string => `${name}@recompute${count > 1 ? count : ""}`;

/** Name of the node or tensor that something is a recomputed copy or part of a swap of; its own name if it is none. */
export const originalName = (name: string): string => name.replace(/@(recompute|swap(\/(out|host|in))?)\d*$/, "");

/**
 * The graph with the decisions carried out. A rewritten graph is an ordinary graph; the order of the decisions does not
 * matter. Throws for an unknown activation, one that is decided on twice or cannot be recomputed, or a swap whose
 * places are unknown or out of order.
 *
 * What is recomputed is made first, so that a block that reads a swapped activation counts as a backward use of it: the
 * activation comes back before.
 */
export function rewrite(graph: Graph, decisions: readonly Pick<Decision, "activation" | "action" | "swap">[]): Graph {
  const saved = savedActivations(graph);
  const decided = new Set<string>();
  const evicted = new Set<string>();
  const swaps = new Map<string, SwapPlacement | undefined>();
  for (const { activation, action, swap } of decisions) {
    if (action === "keep") continue;
    const fixed = saved.get(activation)?.fixed;
    if (fixed === undefined) throw new Error(`unknown activation: ${activation}`);
    if (decided.has(activation)) throw new Error(`two decisions: ${activation}`);
    decided.add(activation);
    if (action === "swap") swaps.set(activation, swap);
    else if (fixed) throw new Error(`cannot recompute ${activation}: ${fixed}`);
    else evicted.add(activation);
  }
  const planned = evicted.size ? insertRecomputation(graph, evicted) : graph;
  return swaps.size ? insertSwaps(planned, swaps) : planned;
}

/**
 * The graph with these activations recomputed: before the first backward use of each one stands a copy of the nodes
 * that lead to it from what is kept, and all uses from there on read the copy. Blocks are independent: each runs again
 * what it needs and frees it at once.
 */
function insertRecomputation(graph: Graph, evicted: ReadonlySet<string>): Graph {
  const saved = savedActivations(graph);

  const blocks = new Map<number, string[]>();
  for (const { name, firstBackwardAccess } of saved.values())
    if (evicted.has(name)) blocks.set(firstBackwardAccess, [...(blocks.get(firstBackwardAccess) ?? []), name]);
  const state = new Set(graph.state.map(({ after }) => after));
  const tensors = new Map(graph.tensors);
  const counts = new Map<string, number>();
  const copyOf = (name: string): string => {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    return copyName(name, count);
  };
  /** What later nodes read instead of an evicted tensor. */
  const current = new Map<string, string>();

  const block = (target: string): Node[] => {
    const activation = saved.get(target);
    if (!activation) return [];
    const local = new Map<string, string>();
    const copied = recomputeRanks(graph, activation, evicted).map((rank): Node => {
      const node = graph.nodes[rank] as Node;
      const inputs = node.inputs.map((name) => local.get(name) ?? name);
      const outputs = node.outputs.map((name) => {
        if (!name || state.has(name)) return "";
        const copy = copyOf(name);
        tensors.set(copy, { ...(graph.tensors.get(name) as Tensor), name: copy });
        local.set(name, copy);
        return copy;
      });
      return { ...node, name: copyOf(`node ${node.name}`).slice(5), inputs, outputs, phase: "backward" };
    });
    for (const member of activation.backwardMembers) current.set(member, local.get(member) as string);
    return copied;
  };

  const made = producerRanks(graph);
  const nodes = graph.nodes.flatMap((node, rank): Node[] => {
    const targets = blocks.get(rank)?.sort((a, z) => (made.get(a) ?? 0) - (made.get(z) ?? 0)) ?? [];
    const before = targets.flatMap(block);
    const reads = node.inputs.some((name) => current.has(name));
    return [...before, reads ? { ...node, inputs: node.inputs.map((name) => current.get(name) ?? name) } : node];
  });
  return prune({ ...graph, nodes, tensors });
}
