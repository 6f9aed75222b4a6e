import type { Graph } from "../graph/graph.js";
import { savedActivations } from "../memory/activations.js";
import { hostStates } from "./host-states.js";
import type { Decision, StatePlacement, SwapPlacement } from "./plan.js";
import { insertRecomputation } from "./recompute.js";
import { insertSwaps } from "./swap.js";

/**
 * The graph with the decisions carried out. A rewritten graph is an ordinary graph; the order of the decisions does not
 * matter. Throws for an unknown activation, one that is decided on twice or cannot be recomputed, or a swap whose
 * places are unknown or out of order.
 *
 * States go to the host first: what is planned of activations may name the nodes of their copies. Then what is recomputed
 * is made, so that a block that reads a swapped activation counts as a backward use of it: the
 * activation comes back before.
 */
export function rewrite(
  given: Graph,
  decisions: readonly Pick<Decision, "activation" | "action" | "swap" | "held">[],
  states: readonly StatePlacement[] = [],
): Graph {
  const graph = states.length ? hostStates(given, states) : given;
  const saved = savedActivations(graph);
  const decided = new Set<string>();
  const evicted = new Set<string>();
  const held = new Set<string>();
  const swaps = new Map<string, SwapPlacement | undefined>();
  for (const { activation, action, swap, held: isHeld } of decisions) {
    if (action === "keep") continue;
    const fixed = saved.get(activation)?.fixed;
    if (fixed === undefined) throw new Error(`unknown activation: ${activation}`);
    if (decided.has(activation)) throw new Error(`two decisions: ${activation}`);
    decided.add(activation);
    if (action === "swap") swaps.set(activation, swap);
    else if (fixed) throw new Error(`cannot recompute ${activation}: ${fixed}`);
    else {
      evicted.add(activation);
      if (isHeld) held.add(activation);
    }
  }
  const planned = evicted.size ? insertRecomputation(graph, evicted, held) : graph;
  return swaps.size ? insertSwaps(planned, swaps) : planned;
}
