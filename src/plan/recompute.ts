import { type Graph, type Node, prune, type Tensor } from "../graph/graph.js";
import { copyName } from "../graph/names.js";
import { producerRanks, recomputeRanks, savedActivations } from "../memory/activations.js";

/** Gives the first copy of each name its name, and numbers further ones. */
function copyNames(): (name: string) => string {
  const counts = new Map<string, number>();
  return (name) => {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    return copyName(name, count);
  };
}

/**
 * The graph with these activations recomputed: before the first backward use of each one stands a copy of the nodes
 * that lead to it from what is kept, and all uses from there on read the copy. Blocks are independent: each runs again
 * what it needs and frees it at once.
 */
export function insertRecomputation(graph: Graph, evicted: ReadonlySet<string>): Graph {
  const saved = savedActivations(graph);

  const blocks = new Map<number, string[]>();
  for (const { name, firstBackwardAccess } of saved.values())
    if (evicted.has(name)) blocks.set(firstBackwardAccess, [...(blocks.get(firstBackwardAccess) ?? []), name]);
  const state = new Set(graph.state.map(({ after }) => after));
  const tensors = new Map(graph.tensors);
  const nodeCopy = copyNames();
  const tensorCopy = copyNames();
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
        const copy = tensorCopy(name);
        tensors.set(copy, { ...(graph.tensors.get(name) as Tensor), name: copy });
        local.set(name, copy);
        return copy;
      });
      return { ...node, name: nodeCopy(node.name), inputs, outputs, phase: "backward" };
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
