import type { Graph, Node } from "../graph/graph.js";
import { type Accesses, activationAccesses } from "../memory/activations.js";
import { arrivalMs, type Direction, Link, pcieLink } from "./link.js";
import type { SwapPlacement } from "./plan.js";
import { incoming, outgoing } from "./swap.js";

/** A swap on its way to a placement: ranks of its uses, then those of the nodes before which its copies end and begin. */
export interface Timed extends Pick<Accesses, "created" | "lastForwardAccess" | "firstBackwardAccess"> {
  /** One copy alone, ms. */
  readonly ms: number;
  /** Number of each copy among those of its direction. */
  outNumber: number;
  inNumber: number;
  /** When the copy to the host is complete, and the rank of the node before which that is awaited. */
  outMs: number;
  outDone: number;
  /** When the copy back begins at the latest, and the rank of the node before which it does. */
  inMs: number;
  prefetch: number;
  /** Rank of the first node before which the copy back may begin; default any. */
  readonly earliest?: number;
}

/** What is not known of a swap before it is placed. */
const unplaced = { outNumber: 0, inNumber: 0, outMs: 0, outDone: 0, inMs: 0, prefetch: 0 };

/** The swaps in the order in which they leave, and in which they are needed back. */
interface Queues {
  readonly leaving: readonly Timed[];
  readonly returning: readonly Timed[];
}

/** When each node may begin a copy, the copies to the host being awaited that it awaits, and when it begins itself. */
interface Schedule {
  readonly ready: Float64Array;
  readonly begins: Float64Array;
  readonly endMs: number;
  /** Whether any node waits for a copy. */
  readonly waits: boolean;
}

/**
 * Runs nodes and copies as early as they can be. A node awaits a copy to the host that is complete anyway, or by the
 * latest time at which the node may begin; the one at rank `join` awaits all that have begun.
 */
function schedule(
  nodeMs: Float64Array,
  { leaving, returning }: Queues,
  margin: number,
  join: number | undefined,
  latest?: Float64Array,
): Schedule {
  const ready = new Float64Array(nodeMs.length);
  const begins = new Float64Array(nodeMs.length);
  let now = 0;
  let waits = false;
  let [outFree, inFree] = [0, 0];
  let [begun, complete, back] = [0, 0, 0];
  for (let rank = 0; rank < nodeMs.length; rank++) {
    for (let swap = leaving[begun]; swap && swap.lastForwardAccess < rank; swap = leaving[++begun]) {
      outFree = Math.max(outFree, now) + margin * swap.ms;
      swap.outMs = outFree;
      swap.outDone = swap.firstBackwardAccess;
    }
    const awaited = latest ? Math.max(now, latest[rank] as number) : now;
    const until = rank === join ? Number.POSITIVE_INFINITY : awaited;
    for (; complete < begun; complete++) {
      const swap = leaving[complete] as Timed;
      if (swap.outMs > until) break;
      if (swap.outMs > now) [now, waits] = [swap.outMs, true];
      swap.outDone = Math.min(swap.outDone, rank);
    }
    ready[rank] = now;
    for (let swap = returning[back]; swap?.firstBackwardAccess === rank; swap = returning[++back]) {
      inFree = Math.max(inFree, swap.outMs) + margin * swap.ms;
      if (inFree > now) [now, waits] = [inFree, true];
    }
    begins[rank] = now;
    now += nodeMs[rank] as number;
  }
  return { ready, begins, endMs: now, waits };
}

/** When each node must begin at the latest so that the step ends at `endMs`: the way back through nodes and queues. */
function latestBegins(
  nodeMs: Float64Array,
  { leaving, returning }: Queues,
  margin: number,
  endMs: number,
): Float64Array {
  const latest = new Float64Array(nodeMs.length);
  let [nextNode, nextOut, nextIn] = [endMs, endMs, endMs];
  let [out, back] = [leaving.length - 1, returning.length - 1];
  for (let rank = nodeMs.length - 1; rank >= 0; rank--) {
    for (let swap = leaving[out]; swap?.lastForwardAccess === rank; swap = leaving[--out]) {
      nextOut = Math.min(nextOut, swap.inMs) - margin * swap.ms;
      nextNode = Math.min(nextNode, nextOut);
    }
    nextNode -= nodeMs[rank] as number;
    latest[rank] = nextNode;
    for (let swap = returning[back]; swap?.firstBackwardAccess === rank; swap = returning[--back]) {
      nextIn = Math.min(nextIn, nextNode) - margin * swap.ms;
      swap.inMs = nextIn;
    }
  }
  return latest;
}

/**
 * Where the copies of swaps end and begin so that the step takes as little longer as may be, and memory is free as long
 * as that allows: the idea of μ-TWO's Algorithm C, without other models' work to hide behind.
 *
 * There is one channel each way, on which copies queue. A copy to the host begins after the last forward use. It is
 * awaited by the first node at which it is complete; where a channel is too slow for the step and nodes wait in any case,
 * by the first one that can wait without making the step longer. Copies back queue in the order of their first backward
 * uses; each begins before the latest node from which it is back in time.
 *
 * `graph` may have recomputation in it already, `nodeMs` holds a time for each of its nodes, `swapMs` that of one copy of
 * each activation to swap, alone; it is given the link's margin. `earliest` holds the rank of the first node before which
 * its copy back may begin, where that is limited; before the node `join` all copies to the host are complete. Throws `unknown activation: …`.
 */
export function swapPlacement(
  graph: Graph,
  nodeMs: readonly number[],
  swapMs: ReadonlyMap<string, number>,
  traits = pcieLink,
  earliest: ReadonlyMap<string, number> = new Map(),
  join?: string,
): Map<string, SwapPlacement> {
  const known = activationAccesses(graph);
  const swaps = [...swapMs].map(([name, ms]) => {
    const activation = known.get(name);
    if (!activation) throw new Error(`unknown activation: ${name}`);
    return { ...activation, ms, ...unplaced, earliest: earliest.get(name) ?? 0 };
  });
  const joint = join === undefined ? -1 : graph.nodes.findIndex(({ name }) => name === join);
  placeCopies(Float64Array.from(nodeMs), swaps, traits, joint < 0 ? undefined : joint);
  const nameOf = (rank: number): string => (graph.nodes[rank] as Node).name;
  return new Map(
    swaps.map(({ name, outDone, prefetch }) => [name, { outDone: nameOf(outDone), prefetch: nameOf(prefetch) }]),
  );
}

/**
 * Sets `outDone` and `prefetch` of swaps whose uses are known by rank, each copy given its margin; returns them in the
 * order of both queues. Before the node at rank `join` all copies to the host that have begun are complete.
 */
export function placeCopies(
  nodeMs: Float64Array,
  swaps: readonly Timed[],
  { margin } = pcieLink,
  join?: number,
): Queues {
  const queues = { leaving: [...swaps].sort(outgoing), returning: [...swaps].sort(incoming) };
  const early = schedule(nodeMs, queues, margin, join);
  // where no node waits there is no slack, and none could begin later
  const { ready, begins } = early.waits
    ? schedule(nodeMs, queues, margin, join, latestBegins(nodeMs, queues, margin, early.endMs))
    : early;
  // backwards: each copy back as late as its use and the copy after it allow
  let latest = Number.POSITIVE_INFINITY;
  for (const swap of [...queues.returning].reverse()) {
    latest = Math.min(latest, begins[swap.firstBackwardAccess] as number) - swap.ms;
    swap.prefetch = swap.firstBackwardAccess;
    const first = Math.max(swap.outDone, swap.earliest ?? 0);
    while (swap.prefetch > first && (ready[swap.prefetch] as number) > latest) swap.prefetch--;
  }
  return queues;
}

/** A swap in a schedule of numbers, whose uses are still to be found. */
export interface OpenSwap extends Timed {
  /** Number of the activation's tensor, and of the storage that it comes back to. */
  readonly tensor: number;
  storage: number;
  created: number;
  lastForwardAccess: number;
  firstBackwardAccess: number;
  lastBackwardAccess: number;
  earliest: number;
}

/** A swap of which no use is known yet; `ms` is the time of one copy, `earliest` where its copy back may begin. */
export const openSwap = (tensor: number, ms: number, earliest = 0): OpenSwap => ({
  tensor,
  ms,
  storage: -1,
  created: 0,
  lastForwardAccess: -1,
  firstBackwardAccess: Number.MAX_SAFE_INTEGER,
  lastBackwardAccess: -1,
  ...unplaced,
  earliest,
});

/**
 * Time that placed copies cost the nodes, which wait for some and are slowed by all, ms: `stepTime` by ranks instead of
 * by the nodes of a graph.
 */
export function copyCostMs(nodeMs: Float64Array, { leaving, returning }: Queues, traits = pcieLink): number {
  const link = new Link(traits);
  const done = [...leaving].sort((a, z) => a.outDone - z.outDone);
  const begun = [...returning].sort((a, z) => a.prefetch - z.prefetch);
  let cost = 0;
  let [out, awaited, into, back] = [0, 0, 0, 0];
  const arrive = (direction: Direction, number: number, ms: number): void => {
    cost += arrivalMs(traits, direction, ms, link.finish(direction, number));
  };
  for (let rank = 0; rank < nodeMs.length; rank++) {
    for (let swap = leaving[out]; swap && swap.lastForwardAccess + 1 === rank; swap = leaving[++out])
      swap.outNumber = link.begin("out", swap.ms);
    for (let swap = done[awaited]; swap?.outDone === rank; swap = done[++awaited])
      arrive("out", swap.outNumber, swap.ms);
    for (let swap = begun[into]; swap?.prefetch === rank; swap = begun[++into])
      swap.inNumber = link.begin("in", swap.ms);
    for (let swap = returning[back]; swap?.firstBackwardAccess === rank; swap = returning[++back])
      arrive("in", swap.inNumber, swap.ms);
    link.advance(nodeMs[rank] as number);
  }
  return cost;
}
