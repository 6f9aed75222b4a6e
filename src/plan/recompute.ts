import { type Graph, type Node, producers, prune, type Tensor } from "../graph/graph.js";
import { placedWith } from "../graph/lanes.js";
import { addTo } from "../graph/lists.js";
import { copyName } from "../graph/names.js";
import {
  activationOf,
  copyInputs,
  copyOutputs,
  recomputeRanks,
  type SavedActivation,
  savedActivations,
} from "../memory/activations.js";

/** Gives the first copy of each name its name, and numbers further ones; names that are taken are left out. */
function copyNames(taken: { has(name: string): boolean }): (name: string) => string {
  const counts = new Map<string, number>();
  return (name) => {
    let count = (counts.get(name) ?? 0) + 1;
    while (taken.has(copyName(name, count))) count++;
    counts.set(name, count);
    return copyName(name, count);
  };
}

/**
 * The graph with these activations recomputed: before the first backward use of each one stands a copy of the nodes
 * that lead to it from what is kept, and all uses from there on read the copy. What a block makes on its way is freed in
 * it, but for the activations that are `held`: their copies stay, later blocks start from them, and what is there
 * already is not made again.
 */
export function insertRecomputation(
  graph: Graph,
  evicted: ReadonlySet<string>,
  held: ReadonlySet<string> = new Set(),
): Graph {
  const saved = savedActivations(graph);
  const owners = activationOf(graph);
  const made = producers(graph);
  const blocks = new Map<number, SavedActivation[]>();
  for (const activation of saved.values())
    if (evicted.has(activation.name)) addTo(blocks, activation.firstBackwardAccess, activation);
  const state = new Set(graph.state.map(({ after }) => after));
  const tensors = new Map(graph.tensors);
  const nodeCopy = copyNames(new Set(graph.nodes.map(({ name }) => name)));
  const tensorCopy = copyNames(graph.tensors);
  /** What later nodes read instead of an evicted tensor. */
  const current = new Map<string, string>();
  /** The copies that later blocks start from. */
  const standing = new Map<string, string>();

  const block = (activation: SavedActivation, before: Node): Node[] => {
    const local = new Map<string, string>();
    const copied = recomputeRanks(graph, activation, evicted, standing).map((rank): Node => {
      const node = graph.nodes[rank] as Node;
      const inputs = copyInputs(node).map((name) => standing.get(name) ?? local.get(name) ?? name);
      const outputs = copyOutputs(node).map((name) => {
        if (!name || state.has(name)) return "";
        const copy = tensorCopy(name);
        tensors.set(copy, { ...(graph.tensors.get(name) as Tensor), name: copy });
        local.set(name, copy);
        if (held.has(owners.get(name) ?? "") && !standing.has(name)) standing.set(name, copy);
        return copy;
      });
      const copy: Node = { ...node, name: nodeCopy(node.name), inputs, outputs, phase: "backward" };
      return placedWith(copy, node, before);
    });
    for (const member of activation.backwardMembers)
      current.set(member, (standing.get(member) ?? local.get(member)) as string);
    return copied;
  };

  const nodes = graph.nodes.flatMap((node, rank): Node[] => {
    const targets = blocks.get(rank)?.sort((a, z) => (made.get(a.name) ?? 0) - (made.get(z.name) ?? 0)) ?? [];
    const before = targets.flatMap((target) => block(target, node));
    const reads = node.inputs.some((name) => current.has(name));
    return [...before, reads ? { ...node, inputs: node.inputs.map((name) => current.get(name) ?? name) } : node];
  });
  return prune({ ...graph, nodes, tensors });
}
