import { type Graph, type Node, tensorOf } from "./graph.js";
import { opOf } from "./ops/index.js";
import type { SwapPlacement } from "./plan.js";
import { type Accesses, activationAccesses } from "./saved.js";
import { incoming, outgoing } from "./swap.js";

interface Timed {
  readonly activation: Accesses;
  /** One copy, ms. */
  readonly ms: number;
  /** When the copy to the host is complete, and the first node that begins no earlier. */
  outMs: number;
  outDone: number;
}

/**
 * Where the copies of swaps end and begin so that nodes wait for them as little as may be, and memory is free as long as
 * that allows: the idea of μ-TWO's Algorithm C, without other models' work to hide behind.
 *
 * There is one channel each way, on which copies queue. A copy to the host begins after the last forward use, and its
 * memory is free from the first node at which it is complete. Copies back queue in the order of their first backward
 * uses; each begins before the latest node from which it is back in time. Where the channel is too slow, the uses wait:
 * later copies then begin as late as the waiting allows.
 *
 * `graph` may have recomputation in it already, `nodeMs` holds a time for each of its nodes, `swapMs` that of one copy of
 * each activation to swap. Throws `unknown activation: …`.
 */
export function swapPlacement(
  graph: Graph,
  nodeMs: readonly number[],
  swapMs: ReadonlyMap<string, number>,
): Map<string, SwapPlacement> {
  const known = activationAccesses(graph);
  const swaps = [...swapMs].map(([name, ms]): Timed => {
    const activation = known.get(name);
    if (!activation) throw new Error(`unknown activation: ${name}`);
    return { activation, ms, outMs: 0, outDone: Number.POSITIVE_INFINITY };
  });
  const leaving = [...swaps].sort((a, z) => outgoing(a.activation, z.activation));
  const returning = [...swaps].sort((a, z) => incoming(a.activation, z.activation));

  // forwards: all copies as early as they can be, which gives the least waiting
  /** When the nodes before each one are done, and when it begins: later if it waits for a copy. */
  const ready: number[] = [];
  const begins: number[] = [];
  let now = 0;
  let [outFree, inFree] = [0, 0];
  let [begun, complete, back] = [0, 0, 0];
  for (let rank = 0; rank < graph.nodes.length; rank++) {
    ready.push(now);
    for (let swap = leaving[begun]; swap && swap.activation.lastForwardAccess < rank; swap = leaving[++begun]) {
      outFree = Math.max(outFree, now) + swap.ms;
      swap.outMs = outFree;
    }
    for (let swap = leaving[complete]; swap && complete < begun && swap.outMs <= now; swap = leaving[++complete])
      swap.outDone = Math.min(swap.outDone, rank);
    for (let swap = returning[back]; swap?.activation.firstBackwardAccess === rank; swap = returning[++back]) {
      swap.outDone = Math.min(swap.outDone, rank);
      inFree = Math.max(inFree, swap.outMs) + swap.ms;
      now = Math.max(now, inFree);
    }
    begins.push(now);
    now += nodeMs[rank] as number;
  }

  // backwards: each copy back as late as its use and the copy after it allow
  const placements = new Map<string, SwapPlacement>();
  let latest = Number.POSITIVE_INFINITY;
  for (const { activation, ms, outDone } of returning.reverse()) {
    const { name, firstBackwardAccess } = activation;
    latest = Math.min(latest, begins[firstBackwardAccess] as number) - ms;
    let prefetch = firstBackwardAccess;
    while (prefetch > outDone && (ready[prefetch] as number) > latest) prefetch--;
    const nameOf = (rank: number): string => (graph.nodes[rank] as Node).name;
    placements.set(name, { outDone: nameOf(outDone), prefetch: nameOf(prefetch) });
  }
  return placements;
}

/** How long a step takes whose copies run beside its kernels. */
export interface StepTime {
  /** ms. */
  readonly totalMs: number;
  /** ms that nodes wait for the copies of each swapped tensor. */
  readonly waitingMs: ReadonlyMap<string, number>;
}

/**
 * Time of a step whose nodes run one after the other, but copies between device and host beside them, on one channel
 * each way. `nodeMs` gives the time of a node, that of its copy for SwapOut and SwapIn; waits and other views take none.
 */
export function stepTime(graph: Graph, nodeMs: (node: Node) => number): StepTime {
  let now = 0;
  const free = { out: 0, in: 0 };
  const done = new Map<string, number>();
  /** The swapped tensor that each host tensor holds. */
  const source = new Map<string, string>();
  const waitingMs = new Map<string, number>();
  for (const node of graph.nodes) {
    const { swap } = opOf(node);
    const [from = "", second = ""] = node.inputs;
    const output = node.outputs[0] as string;
    if (swap === "out" || swap === "in") {
      free[swap] = Math.max(free[swap], now) + nodeMs(node);
      done.set(output, free[swap]);
    } else if (swap) {
      const name = source.get(second) ?? second;
      const waited = Math.max(0, (done.get(from) as number) - now);
      waitingMs.set(name, (waitingMs.get(name) ?? 0) + waited);
      now += waited;
      if (tensorOf(graph, output).host) source.set(output, name);
    } else now += nodeMs(node);
  }
  return { totalMs: now, waitingMs };
}
