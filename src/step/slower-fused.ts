import type { Graph, Node } from "../graph/graph.js";
import { ownerOf } from "../graph/names.js";
import { opOf } from "../ops/index.js";

/** A step's graph with the measured time of each node, ms in schedule order. */
export interface TimedNodes {
  readonly nodes: readonly Node[];
  readonly nodeMs: ArrayLike<number>;
}

/** So many times as long as each model's own a fused node must take: what splits and joins its tensors takes time too. */
const leastLoss = 1.1;

/**
 * The products of a forward graph that take longer fused, with the nodes of their gradients, than those of so many models
 * one after another: what `fuseTrials` is to keep apart. `prefix` stands before the names of the fused step's nodes
 * (`f0/` in a joint graph).
 */
export function slowerFused(
  forward: Pick<Graph, "nodes">,
  alone: TimedNodes,
  fused: TimedNodes,
  { models, prefix = "" }: { readonly models: number; readonly prefix?: string },
): ReadonlySet<string> {
  const products = new Set(forward.nodes.filter((node) => opOf(node).product).map(({ name }) => name));
  const names = new Set(forward.nodes.map(({ name }) => name));
  const [own, all] = [timesOf(alone, names, ""), timesOf(fused, names, prefix)];
  return new Set(
    [...products].filter(
      (name) => (all.get(name) ?? 0) > leastLoss * models * (own.get(name) ?? Number.POSITIVE_INFINITY),
    ),
  );
}

/** The time of each node of a forward graph, its gradient's nodes and all micro-batches together. */
function timesOf({ nodes, nodeMs }: TimedNodes, names: ReadonlySet<string>, prefix: string): Map<string, number> {
  const times = new Map<string, number>();
  nodes.forEach(({ name }, rank) => {
    const owner = name.startsWith(prefix) ? ownerOf(name.slice(prefix.length), names) : undefined;
    if (owner !== undefined) times.set(owner, (times.get(owner) ?? 0) + (nodeMs[rank] ?? 0));
  });
  return times;
}
