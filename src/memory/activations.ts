import { consumers, type Graph, isForward, type Node, producers, tensorBytes, tensorOf } from "../graph/graph.js";
import { greatest, least } from "../graph/lists.js";
import { perObject } from "../graph/memo.js";
import { opOf } from "../ops/index.js";
import { viewsOf } from "./views.js";

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
  /** Ranks of the nodes that make it again from what is kept before any planning. */
  readonly recomputeRanks: readonly number[];
  /** Why it cannot be recomputed; null if it can. */
  readonly fixed: string | null;
}

/** A saved activation without what recomputing it would meet. */
export type Accesses = Omit<SavedActivation, "fixed" | "recomputeRanks">;

/**
 * Who reads the saved activations of a training step, by name, in the order in which they are made. Views are not
 * listed, and neither is what lies in host memory.
 */
export const activationAccesses = perObject((graph: Graph): ReadonlyMap<string, Accesses> => {
  const read = consumers(graph);
  const views = viewsOf(graph);
  const isView = graph.nodes.map((node) => opOf(node).view);
  const isBackward = (rank: number): boolean => !isForward((graph.nodes[rank] as Node).phase);
  const saved = new Map<string, Accesses>();
  for (const [created, node] of graph.nodes.entries()) {
    // copies are no activations
    if (isView[created] || isBackward(created) || opOf(node).swap) continue;
    for (const name of node.outputs) {
      if (!name || tensorOf(graph, name).host) continue;
      const members = [name, ...(views.get(name) ?? [])];
      const [forward, backward]: [number[], number[]] = [[], []];
      for (const member of members)
        for (const rank of read.get(member) ?? [])
          if (!isView[rank]) (isBackward(rank) ? backward : forward).push(rank);
      if (backward.length === 0) continue;
      saved.set(name, {
        name,
        bytes: tensorBytes(tensorOf(graph, name)),
        members,
        backwardMembers: members.filter((member) => read.get(member)?.some(isBackward)),
        created,
        firstForwardAccess: forward.length ? least(forward) : created,
        lastForwardAccess: forward.length ? greatest(forward) : created,
        firstBackwardAccess: least(backward),
        lastBackwardAccess: greatest(backward),
      });
    }
  }
  return saved;
});

/** All saved activations of a training step by name, in the order in which they are made. Views are not listed. */
export const savedActivations = perObject((graph: Graph): ReadonlyMap<string, SavedActivation> => {
  const saved = new Map<string, SavedActivation>();
  for (const [name, activation] of activationAccesses(graph)) {
    const ranks = recomputeRanks(graph, activation, new Set());
    const fixed = obstacle(graph, activation, ranks) ?? null;
    saved.set(name, Object.assign({ recomputeRanks: ranks, fixed }, activation));
  }
  return saved;
});

/** What forbids running the nodes again that lead to an activation; undefined if nothing does. */
function obstacle(graph: Graph, activation: Accesses, ranks: readonly number[]): string | undefined {
  const renewed = renewals(graph);
  const isRenewed = (name: string): boolean =>
    (renewed.get(name) ?? graph.nodes.length) < activation.firstBackwardAccess;
  for (const rank of ranks) {
    const node = graph.nodes[rank] as Node;
    if (opOf(node).random) return `random numbers: ${node.name}`;
    if (!opOf(node).deterministic) return `not deterministic: ${node.name}`;
    if (node.outputs.includes(activation.name) && !copyOutputs(node).includes(activation.name))
      return `renewed once a step: ${activation.name}`;
    const state = copyInputs(node).find(isRenewed);
    if (state) return `reads state that is renewed before: ${state}`;
  }
  return undefined;
}

/** Rank of the node that renews each state. */
const renewals = perObject((graph: Graph): ReadonlyMap<string, number> => {
  const made = producers(graph);
  return new Map(graph.state.map(({ before, after }) => [before, made.get(after) ?? graph.nodes.length]));
});

/** The saved activation that each of their tensors belongs to. */
export const activationOf = perObject(
  (graph: Graph): ReadonlyMap<string, string> =>
    new Map([...activationAccesses(graph).values()].flatMap(({ name, members }) => members.map((m) => [m, name]))),
);

/**
 * What a copy of a node reads. Running statistics are needed only for their next value, which a copy leaves out: it is
 * shown the next value that the node itself has made, since what was there before may be overwritten.
 */
export function copyInputs(node: Node): readonly string[] {
  const { state } = opOf(node);
  if (!state?.length) return node.inputs;
  return node.inputs.map((name, slot) => node.outputs[state.find(([input]) => input === slot)?.[1] ?? -1] || name);
}

/** What a copy of a node makes: its outputs but the next value of running statistics, which is renewed once a step. */
export function copyOutputs(node: Node): readonly string[] {
  const { state } = opOf(node);
  if (!state?.length) return node.outputs;
  return node.outputs.map((name, slot) => (state.some(([, output]) => output === slot) ? "" : name));
}

/**
 * Ranks of the nodes that make an activation again, in schedule order: the walk back from what the backward phase reads
 * of it stops at residents, at copies that are `standing` already, and at other saved activations, unless those are
 * evicted too.
 */
export function recomputeRanks(
  graph: Graph,
  activation: Accesses,
  evicted: ReadonlySet<string>,
  standing: Pick<ReadonlySet<string>, "has"> = new Set(),
): number[] {
  const made = producers(graph);
  const owners = activationOf(graph);
  const found = new Set<number>();
  const stack = [...activation.backwardMembers];
  while (stack.length) {
    const name = stack.pop() as string;
    const rank = made.get(name);
    if (rank === undefined || found.has(rank) || standing.has(name)) continue;
    const owner = owners.get(name);
    if (owner !== undefined && owner !== activation.name && !evicted.has(owner)) continue;
    found.add(rank);
    for (const input of copyInputs(graph.nodes[rank] as Node)) if (input) stack.push(input);
  }
  return [...found].sort((a, z) => a - z);
}

/** The saved activations that a recomputation starts from. */
export function recomputeSources(graph: Graph, activation: Accesses, ranks: readonly number[]): string[] {
  const owners = activationOf(graph);
  const inside = new Set(ranks.flatMap((rank) => (graph.nodes[rank] as Node).outputs));
  const sources = ranks.flatMap((rank) =>
    copyInputs(graph.nodes[rank] as Node).flatMap((name) => {
      const owner = inside.has(name) ? undefined : owners.get(name);
      return owner === undefined || owner === activation.name ? [] : [owner];
    }),
  );
  return [...new Set(sources)];
}
