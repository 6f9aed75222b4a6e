import { type Graph, type Node, producers, prune, tensorOf } from "../graph/graph.js";
import { placedWith } from "../graph/lanes.js";
import { type SwapPart, swapName } from "../graph/names.js";
import { type Accesses, activationAccesses } from "../memory/activations.js";
import type { SwapPlacement } from "./plan.js";

/** Ranks of the uses between which an activation is swapped. */
type Uses = Pick<Accesses, "created" | "lastForwardAccess" | "firstBackwardAccess">;

/** Order in which copies to the host begin. */
export const outgoing = (a: Uses, z: Uses): number =>
  a.lastForwardAccess - z.lastForwardAccess || a.created - z.created;

/** Order in which copies back are needed. */
export const incoming = (a: Uses, z: Uses): number =>
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
  const made = producers(graph);
  const ranks = new Set<number>();
  for (const member of backwardMembers)
    for (let at = member; at !== name; ) {
      const rank = made.get(at) as number;
      ranks.add(rank);
      at = (graph.nodes[rank] as Node).inputs[0] as string;
    }
  return [...ranks].sort((a, z) => a - z).map((rank) => graph.nodes[rank] as Node);
}

/** The ops that make the parts of a swap. */
export const swapOps: Readonly<Record<SwapPart, string>> = {
  out: "SwapOut",
  host: "SwapOutWait",
  in: "SwapIn",
  back: "SwapInWait",
};

/** Names of the parts of swaps that are free: further ones of the same name are numbered. */
export class FreeNames {
  private readonly taken: Set<string>;
  private readonly given = new Map<string, string>();

  constructor(taken: Iterable<string>) {
    this.taken = new Set(taken);
  }

  /** Takes a name for a part of a swap. */
  take(name: string, part: SwapPart): string {
    let free = swapName(name, part);
    for (let count = 2; this.taken.has(free); count++) free = swapName(name, part, count);
    this.taken.add(free);
    return free;
  }

  /** Takes a name that nothing else is made of, with underscores behind it where it is taken. */
  free(name: string): string {
    let free = name;
    while (this.taken.has(free)) free += "_";
    this.taken.add(free);
    return free;
  }

  /** The name of that part, taken when it is first asked for. */
  of(name: string, part: SwapPart): string {
    const wish = swapName(name, part);
    const known = this.given.get(wish) ?? this.take(name, part);
    this.given.set(wish, known);
    return known;
  }
}

/** Nodes to put before the nodes of a graph, under names that are free. */
export class Insertions {
  private readonly names: FreeNames;
  private readonly before = new Map<number, Node[]>();

  constructor(nodes: readonly Node[]) {
    this.names = new FreeNames(nodes.map((node) => node.name));
  }

  /** Puts a node before the one at a rank, behind those that were put there; it is named as that part of a swap. */
  add(rank: number, node: Node, part: SwapPart): void {
    this.before.set(rank, [...this.at(rank), { ...node, name: this.names.take(node.name, part) }]);
  }

  at(rank: number): readonly Node[] {
    return this.before.get(rank) ?? [];
  }
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
  const insertions = new Insertions(graph.nodes);
  const names = new FreeNames(graph.tensors.keys());
  const named = (name: string, part: SwapPart): string => names.of(name, part);
  const put = (
    rank: number,
    { name, created, lastForwardAccess }: Swap,
    part: SwapPart,
    inputs: readonly string[],
  ): void => {
    const { dtype, shape, category } = tensorOf(graph, name);
    const output = named(name, part);
    const leaves = part === "out" || part === "host";
    const phase = leaves ? (graph.nodes[lastForwardAccess] as Node).phase : "backward";
    tensors.set(output, { name: output, dtype, shape, category, ...(leaves ? { host: true } : {}) });
    const node: Node = { name, domain: "mutwo", op: swapOps[part], inputs, outputs: [output], attributes: {}, phase };
    // what leaves does so in the stage of its last use
    const beside = graph.nodes[part === "out" ? lastForwardAccess : Math.min(rank, graph.nodes.length - 1)];
    insertions.add(rank, placedWith(node, graph.nodes[created], beside), part);
  };

  // before one node: what leaves first, so that what comes back may have its memory
  const leaving = [...swaps].sort(outgoing);
  const returning = [...swaps].sort(incoming);
  for (const swap of leaving) put(swap.lastForwardAccess + 1, swap, "out", [swap.name]);
  for (const swap of leaving) put(swap.outDone, swap, "host", [named(swap.name, "out"), swap.name]);
  for (const swap of returning) put(swap.prefetch, swap, "in", [named(swap.name, "host")]);
  /** From which rank on nodes read the copy that came back instead of a tensor. */
  const back = new Map<string, number>();
  for (const swap of returning) {
    const { name, firstBackwardAccess: from } = swap;
    put(from, swap, "back", [named(name, "in"), named(name, "host")]);
    back.set(name, from);
    for (const view of viewsFor(graph, swap)) {
      const shown = view.outputs[0] as string;
      const copy = named(shown, "back");
      const inputs = [named(view.inputs[0] as string, "back"), ...view.inputs.slice(1)];
      tensors.set(copy, { ...tensorOf(graph, shown), name: copy });
      const again: Node = { ...view, inputs, outputs: [copy], phase: "backward" };
      insertions.add(from, placedWith(again, view, graph.nodes[from]), "back");
      back.set(shown, from);
    }
  }

  const current = (rank: number) => (name: string) =>
    rank >= (back.get(name) ?? graph.nodes.length) ? named(name, "back") : name;
  const nodes = graph.nodes.flatMap((node, rank): Node[] => [
    ...insertions.at(rank),
    { ...node, inputs: node.inputs.map(current(rank)) },
  ]);
  return prune({ ...graph, nodes, tensors });
}
