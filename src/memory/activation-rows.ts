import { type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { recomputeSources, type SavedActivation, savedActivations } from "./activations.js";
import { timeline } from "./liveness.js";
import { originOf } from "./views.js";

interface SwapModel {
  /** ms for one transfer of that many bytes between host and device. */
  readonly swapMs: (bytes: number) => number;
  /** Whether that comes from measured copies. */
  readonly swapMeasured: boolean;
}

/**
 * A row for every saved activation, with all attributes of μ-TWO's table B. `nodeMs` holds the time of each node of the
 * graph. A recomputation's time counts each of its nodes once, from the tensors that are kept before any planning.
 */
export function activationRows(graph: Graph, nodeMs: readonly number[], swap: SwapModel): ActivationRow[] {
  const ends: number[] = [];
  let now = 0;
  for (const ms of nodeMs) {
    now += ms;
    ends.push(now);
  }
  const { peakRank } = timeline(graph);
  return [...savedActivations(graph).values()].map((activation): ActivationRow => {
    const {
      name,
      bytes,
      created,
      firstForwardAccess,
      lastForwardAccess,
      firstBackwardAccess,
      lastBackwardAccess,
      recomputeRanks: ranks,
      fixed,
    } = activation;
    const recomputeMs = ranks.reduce((sum, rank) => sum + (nodeMs[rank] as number), 0);
    const { dtype, shape } = tensorOf(graph, name);
    const start = (ends[firstBackwardAccess] as number) - (nodeMs[firstBackwardAccess] as number);
    return {
      name,
      producer: (graph.nodes[created] as Node).name,
      dtype,
      shape,
      memoryBytes: bytes,
      createdRank: created,
      firstForwardAccess,
      lastForwardAccess,
      firstBackwardAccess,
      lastBackwardAccess,
      inactiveMs: Math.max(0, start - (ends[lastForwardAccess] as number)),
      swapMs: swap.swapMs(bytes),
      swapMeasured: swap.swapMeasured,
      recomputeSources: recomputeSources(graph, activation, ranks),
      recomputeNodes: ranks.map((rank) => (graph.nodes[rank] as Node).name),
      recomputeCount: 1,
      recomputeMs,
      totalRecomputeMs: recomputeMs,
      recomputeBytes: blockBytes(graph, activation, ranks),
      recomputeRatio: fixed ? null : ratioOf(bytes, recomputeMs),
      fixed,
      idleAtPeak: lastForwardAccess < peakRank && peakRank < firstBackwardAccess,
    };
  });
}

/** Bytes won for each ms; a recomputation too short to measure counts as a nanosecond. */
export const ratioOf = (bytes: number, ms: number): number => bytes / Math.max(ms, 1e-6);

/** Peak bytes that a recomputation adds while it runs, its result included: temporaries die after their last use in it. */
function blockBytes(graph: Graph, activation: SavedActivation, ranks: readonly number[]): number {
  const nodes = ranks.map((rank) => graph.nodes[rank] as Node);
  const origin = originOf({ nodes });
  const lastUse = new Map<string, number>();
  nodes.forEach(({ inputs, outputs }, i) => {
    for (const name of [...inputs, ...outputs]) if (name) lastUse.set(origin(name), i);
  });
  for (const member of activation.backwardMembers) lastUse.set(origin(member), nodes.length);
  const live = new Map<string, number>();
  let peak = 0;
  nodes.forEach((node, i) => {
    if (opOf(node).view) return;
    for (const name of node.outputs) if (name) live.set(name, tensorBytes(tensorOf(graph, name)));
    peak = Math.max(
      peak,
      [...live.values()].reduce((sum, bytes) => sum + bytes, 0),
    );
    for (const name of live.keys()) if ((lastUse.get(name) ?? -1) <= i) live.delete(name);
  });
  return peak;
}

/** One saved activation: made in the forward phase (or the loss), read by the backward phase (μ-TWO's table B). */
export interface ActivationRow {
  readonly name: string;
  /** Node that makes it. */
  readonly producer: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes of its storage; 0 for a view. μ-TWO's memory_size. */
  readonly memoryBytes: number;
  /** Ranks (indices into the node table). */
  readonly createdRank: number;
  readonly firstForwardAccess: number;
  readonly lastForwardAccess: number;
  readonly firstBackwardAccess: number;
  readonly lastBackwardAccess: number;
  /** Time between the end of the last forward use and the start of the first backward use, ms. */
  readonly inactiveMs: number;
  /** One transfer between host and device, ms. */
  readonly swapMs: number;
  /** False if swapMs comes from an assumed bandwidth instead of a measured copy. */
  readonly swapMeasured: boolean;
  /** Activations and resident tensors it would be recomputed from. */
  readonly recomputeSources: readonly string[];
  /** Nodes that a recomputation runs again, in schedule order. */
  readonly recomputeNodes: readonly string[];
  /** How many times it is recomputed; 1 before planning. */
  readonly recomputeCount: number;
  readonly recomputeMs: number;
  readonly totalRecomputeMs: number;
  /** Peak bytes that one recomputation adds, its own output included. */
  readonly recomputeBytes: number;
  /** memoryBytes / totalRecomputeMs; null for a view or where a random op forbids recomputing. */
  readonly recomputeRatio: number | null;
  /** Why it cannot be recomputed; null if it can. */
  readonly fixed: string | null;
  /** Whether it is live, but unused, at the baseline's peak. */
  readonly idleAtPeak: boolean;
}
