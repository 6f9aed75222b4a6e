import { type Graph, type Node, producers } from "../graph/graph.js";
import { storages } from "../memory/storages.js";

/**
 * The step with each node of its update as soon as it can run, in a lane of its own: after what makes its inputs, and after
 * what still reads what it writes over. Kernels of an update wait for memory, those of the backward phase beside them
 * compute.
 */
export function earlyUpdates(graph: Graph, lane: number): Graph {
  const made = producers(graph);
  const { of } = storages(graph);
  /** The buffer that a tensor lies in. */
  const bufferOf = (name: string): string | undefined => {
    const storage = of.get(name)?.storage;
    return storage && (storage.within?.tensor ?? storage.name);
  };
  const written = new Map<string, number>();
  const lastRead = new Map<string, number>();
  graph.nodes.forEach((node, rank) => {
    if (node.phase === "update") return;
    for (const name of node.inputs) {
      const buffer = name && bufferOf(name);
      if (buffer) lastRead.set(buffer, rank);
    }
    for (const name of node.outputs) {
      const within = name && graph.tensors.get(name)?.within?.tensor;
      if (within) written.set(within, rank);
    }
  });
  /** Rank of the node behind which each node of the update stands. */
  const behind = new Map<Node, number>();
  graph.nodes.forEach((node) => {
    if (node.phase !== "update") return;
    const ranks = node.inputs.filter(Boolean).map((name) => {
      const maker = made.get(name);
      if (maker === undefined) return written.get(name) ?? -1;
      return behind.get(graph.nodes[maker] as Node) ?? maker;
    });
    for (const name of node.outputs) ranks.push(lastRead.get(bufferOf(name) ?? "") ?? -1);
    const rank = Math.max(-1, ...ranks);
    behind.set(node, rank);
    for (const name of node.inputs) {
      const buffer = bufferOf(name);
      if (buffer) lastRead.set(buffer, Math.max(rank, lastRead.get(buffer) ?? -1));
    }
  });
  const following = new Map<number, Node[]>();
  for (const [node, rank] of behind) following.set(rank, [...(following.get(rank) ?? []), { ...node, lane }]);
  const nodes = [undefined, ...graph.nodes].flatMap((node, i) => [
    ...(node && !behind.has(node) ? [node] : []),
    ...(following.get(i - 1) ?? []),
  ]);
  return { ...graph, nodes };
}
