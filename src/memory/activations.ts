import { consumers, type Graph, type Node, producers, tensorBytes, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";

/** A tensor made in the forward phase (or by the loss) that the backward phase reads, itself or through a view. */
export interface SavedActivation {
  readonly name: string;
  readonly bytes: number;
  /** The tensor and its views. */
  readonly members: readonly string[];
  /** Those members that nodes of the backward phase read. */
  readonly backwardMembers: readonly string[];
  /** Ranks of nodes. */
  readonly created: number;
  readonly firstForwardAccess: number;
  readonly lastForwardAccess: number;
  readonly firstBackwardAccess: number;
  readonly lastBackwardAccess: number;
  /** Why it cannot be recomputed; null if it can. */
  readonly fixed: string | null;
}

/** A saved activation without what recomputing it would meet. */
export type Accesses = Omit<SavedActivation, "fixed">;

const accessCache = new WeakMap<Graph, ReadonlyMap<string, Accesses>>();

/**
 * Who reads the saved activations of a training step, by name, in the order in which they are made. Views are not
 * listed, and neither is what lies in host memory.
 */
export function activationAccesses(graph: Graph): ReadonlyMap<string, Accesses> {
  const known = accessCache.get(graph);
  if (known) return known;
  const read = consumers(graph);
  const isForward = (rank: number): boolean => {
    const phase = graph.nodes[rank]?.phase;
    return phase === "forward" || phase === "loss";
  };
  const saved = new Map<string, Accesses>();
  const views = viewsOf(graph);
  for (const [created, node] of graph.nodes.entries()) {
    if (opOf(node).view || !isForward(created)) continue;
    for (const name of node.outputs) {
      if (!name || tensorOf(graph, name).host) continue;
      const members = [name, ...(views.get(name) ?? [])];
      const ranks = members.flatMap((member) =>
        (read.get(member) ?? []).filter((rank) => !opOf(graph.nodes[rank] as Node).view),
      );
      const backward = ranks.filter((rank) => !isForward(rank));
      if (backward.length === 0) continue;
      const forward = ranks.filter(isForward);
      saved.set(name, {
        name,
        bytes: tensorBytes(tensorOf(graph, name)),
        members,
        backwardMembers: members.filter((member) => (read.get(member) ?? []).some((rank) => !isForward(rank))),
        created,
        firstForwardAccess: forward.length ? Math.min(...forward) : created,
        lastForwardAccess: forward.length ? Math.max(...forward) : created,
        firstBackwardAccess: Math.min(...backward),
        lastBackwardAccess: Math.max(...backward),
      });
    }
  }
  accessCache.set(graph, saved);
  return saved;
}

const cache = new WeakMap<Graph, ReadonlyMap<string, SavedActivation>>();

/** All saved activations of a training step by name, in the order in which they are made. Views are not listed. */
export function savedActivations(graph: Graph): ReadonlyMap<string, SavedActivation> {
  let saved = cache.get(graph);
  if (!saved) {
    saved = new Map(
      [...activationAccesses(graph)].map(([name, activation]) => [
        name,
        { ...activation, fixed: obstacle(graph, activation) ?? null },
      ]),
    );
    cache.set(graph, saved);
  }
  return saved;
}

/** For each tensor that is not a view, the views that show it. */
function viewsOf(graph: Graph): Map<string, string[]> {
  const origin = new Map<string, string>();
  const views = new Map<string, string[]>();
  for (const node of graph.nodes) {
    if (!opOf(node).view) continue;
    const source = node.inputs[0] as string;
    const root = origin.get(source) ?? source;
    origin.set(node.outputs[0] as string, root);
    views.set(root, [...(views.get(root) ?? []), node.outputs[0] as string]);
  }
  return views;
}

/** What forbids running the nodes again that lead to an activation; undefined if nothing does. */
function obstacle(graph: Graph, activation: Accesses): string | undefined {
  const renewed = new Set(graph.state.map(({ before }) => before));
  const renewedEarly = new Set(
    graph.state
      .filter(
        ({ after }) => (producerRanks(graph).get(after) ?? Number.POSITIVE_INFINITY) < activation.firstBackwardAccess,
      )
      .map(({ before }) => before),
  );
  for (const rank of recomputeRanks(graph, activation, new Set())) {
    const node = graph.nodes[rank] as Node;
    if (opOf(node).random) return `random numbers: ${node.name}`;
    if (!opOf(node).deterministic) return `not deterministic: ${node.name}`;
    const state = node.inputs.find((name) => renewed.has(name) && renewedEarly.has(name));
    if (state) return `reads state that is renewed before: ${state}`;
  }
  return undefined;
}

const rankCache = new WeakMap<Graph, ReadonlyMap<string, number>>();

/** Rank of the node that makes each tensor. */
export function producerRanks(graph: Graph): ReadonlyMap<string, number> {
  let ranks = rankCache.get(graph);
  if (!ranks) {
    ranks = producers(graph);
    rankCache.set(graph, ranks);
  }
  return ranks;
}

const memberCache = new WeakMap<Graph, ReadonlyMap<string, string>>();

/** The saved activation that each of their tensors belongs to. */
export function activationOf(graph: Graph): ReadonlyMap<string, string> {
  let owners = memberCache.get(graph);
  if (!owners) {
    owners = new Map(
      [...activationAccesses(graph).values()].flatMap(({ name, members }) => members.map((m) => [m, name] as const)),
    );
    memberCache.set(graph, owners);
  }
  return owners;
}

/**
 * Ranks of the nodes that make an activation again, in schedule order: the walk back from what the backward phase reads
 * of it stops at residents and at other saved activations, unless those are evicted too.
 */
export function recomputeRanks(graph: Graph, activation: Accesses, evicted: ReadonlySet<string>): number[] {
  const made = producerRanks(graph);
  const owners = activationOf(graph);
  const found = new Set<number>();
  const stack = [...activation.backwardMembers];
  while (stack.length) {
    const name = stack.pop() as string;
    const rank = made.get(name);
    if (rank === undefined || found.has(rank)) continue;
    const owner = owners.get(name);
    if (owner !== undefined && owner !== activation.name && !evicted.has(owner)) continue;
    found.add(rank);
    for (const input of (graph.nodes[rank] as Node).inputs) if (input) stack.push(input);
  }
  return [...found].sort((a, z) => a - z);
}

/** The saved activations that a recomputation starts from. */
export function recomputeSources(graph: Graph, activation: Accesses, ranks: readonly number[]): string[] {
  const owners = activationOf(graph);
  const inside = new Set(ranks.flatMap((rank) => (graph.nodes[rank] as Node).outputs));
  const sources = ranks.flatMap((rank) =>
    (graph.nodes[rank] as Node).inputs.flatMap((name) => {
      const owner = inside.has(name) ? undefined : owners.get(name);
      return owner === undefined || owner === activation.name ? [] : [owner];
    }),
  );
  return [...new Set(sources)];
}
