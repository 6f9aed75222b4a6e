import { type Graph, type Node, prune, tensorOf } from "../graph/graph.js";
import { type Accesses, activationAccesses, producerRanks } from "../memory/activations.js";
import type { SwapPlacement } from "./plan.js";

/** Order in which copies to the host begin. */
export const outgoing = (a: Accesses, z: Accesses): number =>
  a.lastForwardAccess - z.lastForwardAccess || a.created - z.created;

/** Order in which copies back are needed. */
export const incoming = (a: Accesses, z: Accesses): number =>
  a.firstBackwardAccess - z.firstBackwardAccess || a.created - z.created;

/** An activation to swap, with the ranks of the nodes before which its copies are awaited and begin. */
interface Swap extends Accesses {
  readonly outDone: number;
  readonly prefetch: number;
}

/** The activations' swaps by rank. Throws where a placement contradicts the uses. */
function swapsOf(graph: Graph, placements: ReadonlyMap<string, SwapPlacement | undefined>): Swap[] {
  const known = activationAccesses(graph);
  const ranks = new Map(graph.nodes.map((node, rank) => [node.name, rank]));
  const rankOf = (node: string, name: string): number => {
    const rank = ranks.get(node);
    if (rank === undefined) throw new Error(`unknown node: ${node} (swap of ${name})`);
    return rank;
  };
  return [...placements].map(([name, placement]) => {
    const activation = known.get(name);
    if (!activation) throw new Error(`unknown activation: ${name}`);
    const { lastForwardAccess, firstBackwardAccess } = activation;
    const outDone = placement ? rankOf(placement.outDone, name) : lastForwardAccess + 1;
    const prefetch = placement ? rankOf(placement.prefetch, name) : firstBackwardAccess;
    if (!(lastForwardAccess < outDone && outDone <= prefetch && prefetch <= firstBackwardAccess)) {
      const order = [lastForwardAccess, outDone, prefetch, firstBackwardAccess].join(" < ");
      throw new Error(`swap out of order: last use ${order} first use (${name})`);
    }
    return { ...activation, outDone, prefetch };
  });
}

/** The views that lead from an activation to what the backward phase reads of it, in schedule order. */
function viewsFor(graph: Graph, { name, backwardMembers }: Accesses): Node[] {
  const made = producerRanks(graph);
  const ranks = new Set<number>();
  for (const member of backwardMembers)
    for (let at = member; at !== name; ) {
      const rank = made.get(at) as number;
      ranks.add(rank);
      at = (graph.nodes[rank] as Node).inputs[0] as string;
    }
  return [...ranks].sort((a, z) => a - z).map((rank) => graph.nodes[rank] as Node);
}

/**
 * The graph with these saved activations swapped. The copy of `a` to the host, `a@swap/out`, begins after the last
 * forward use and is complete, as `a@swap/host`, before `outDone`. The copy back, `a@swap/in`, begins before `prefetch`
 * and is complete, as `a@swap`, before the first backward use. All uses from there on read `a@swap`, and views of it.
 *
 * Throws `unknown activation: …`, `unknown node: …` or `swap out of order: …`.
 */
export function insertSwaps(graph: Graph, placements: ReadonlyMap<string, SwapPlacement | undefined>): Graph {
  const swaps = swapsOf(graph, placements);
  const tensors = new Map(graph.tensors);
  const taken = new Set(graph.nodes.map((node) => node.name));
  /** Nodes to insert before each rank. */
  const inserted = new Map<number, Node[]>();
  const insert = (rank: number, node: Node): void => {
    let { name } = node;
    for (let i = 2; taken.has(name); i++) name = `${node.name}${i}`;
    taken.add(name);
    inserted.set(rank, [...(inserted.get(rank) ?? []), { ...node, name }]);
  };
  const part = (swap: Swap, which: "" | "/out" | "/host" | "/in"): string => `${swap.name}@swap${which}`;
  const step = (rank: number, op: string, swap: Swap, inputs: readonly string[], output: string): void => {
    const { dtype, shape, category } = tensorOf(graph, swap.name);
    const leaves = op.startsWith("SwapOut");
    const phase = leaves ? (graph.nodes[swap.lastForwardAccess] as Node).phase : "backward";
    tensors.set(output, { name: output, dtype, shape, category, ...(leaves ? { host: true } : {}) });
    insert(rank, { name: output, domain: "mutwo", op, inputs, outputs: [output], attributes: {}, phase });
  };

  // before one node: what leaves first, so that what comes back may have its memory
  const leaving = [...swaps].sort(outgoing);
  const returning = [...swaps].sort(incoming);
  for (const swap of leaving) step(swap.lastForwardAccess + 1, "SwapOut", swap, [swap.name], part(swap, "/out"));
  for (const swap of leaving)
    step(swap.outDone, "SwapOutWait", swap, [part(swap, "/out"), swap.name], part(swap, "/host"));
  for (const swap of returning) step(swap.prefetch, "SwapIn", swap, [part(swap, "/host")], part(swap, "/in"));
  /** What nodes from a rank on read instead of a tensor. */
  const instead = new Map<string, { readonly name: string; readonly from: number }>();
  for (const swap of returning) {
    const from = swap.firstBackwardAccess;
    step(from, "SwapInWait", swap, [part(swap, "/in"), part(swap, "/host")], part(swap, ""));
    instead.set(swap.name, { name: part(swap, ""), from });
    for (const view of viewsFor(graph, swap)) {
      const shown = view.outputs[0] as string;
      const copy = `${shown}@swap`;
      const inputs = [instead.get(view.inputs[0] as string)?.name as string, ...view.inputs.slice(1)];
      tensors.set(copy, { ...tensorOf(graph, shown), name: copy });
      insert(from, { ...view, name: `${view.name}@swap`, inputs, outputs: [copy], phase: "backward" });
      instead.set(shown, { name: copy, from });
    }
  }

  const current = (rank: number) => (name: string) => {
    const other = instead.get(name);
    return other && rank >= other.from ? other.name : name;
  };
  const nodes = graph.nodes.flatMap((node, rank): Node[] => [
    ...(inserted.get(rank) ?? []),
    { ...node, inputs: node.inputs.map(current(rank)) },
  ]);
  return prune({ ...graph, nodes, tensors });
}
