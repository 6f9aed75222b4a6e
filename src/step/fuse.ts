import { consumers, elementCount, type Graph, type Node, producers, prune, tensorOf } from "../graph/graph.js";
import { peakBytes } from "../memory/liveness.js";
import { type Group, write } from "./fused-node.js";
import { fusible, longestRow, rowShape } from "./fusible.js";
import { order, passesOf } from "./order.js";
import { rematerialize } from "./rematerialize.js";

/** How much the peak may rise for the sake of speed: fused nodes take all their inputs at once. */
const mostRise = 1.05;

/** Inputs of one fused node: every one is an address that a thread keeps. */
const mostInputs = 24;

/** Two groups as one; undefined if what they go over does not fit together. */
function joined(a: Group, z: Group): Group | undefined {
  if (a.reducedAxes && z.reducedAxes && a.reducedAxes !== z.reducedAxes) return undefined;
  const reducedAxes = a.reducedAxes || z.reducedAxes;
  const [large, small] = elementCount(a.shape) >= elementCount(z.shape) ? [a, z] : [z, a];
  const isFull = large.shape.join() === small.shape.join();
  // a pointwise node on row values belongs to the rows of the group
  const isRow = reducedAxes > 0 && !small.reducedAxes && small.shape.join() === rowShape(large.shape, reducedAxes);
  if (!isFull && !isRow) return undefined;
  if (reducedAxes && elementCount(large.shape.slice(large.shape.length - reducedAxes)) > longestRow) return undefined;
  return { members: [...a.members, ...z.members].sort((p, q) => p - q), shape: large.shape, reducedAxes };
}

/**
 * The graph with chains of element-wise nodes and of reductions over the last axes made one node each, within a phase.
 * Values that stay inside a fused node take no memory. What the backward phase would read of a forward chain it computes
 * again inside its own fused nodes where that saves memory (rematerialize.ts). Results are those of the same ops in the
 * same order. Returns the graph itself where fusing would raise
 * the peak by more than 5 %.
 */
export function fuse(graph: Graph): Graph {
  const fused = [rematerialize(graph), graph].map((source) => group(source));
  const best = fused.reduce((a, z) => (peakBytes(z) < peakBytes(a) ? z : a));
  return peakBytes(best) <= mostRise * peakBytes(graph) ? best : graph;
}

/** Groups the fusible nodes of a graph and writes each group as one node. */
function group(graph: Graph): Graph {
  const made = producers(graph);
  const read = consumers(graph);
  const groups = new Set<Group>();
  const groupOf = new Map<number, Group>();
  const node = (rank: number): Node => graph.nodes[rank] as Node;
  const passes = passesOf(graph);
  /** Ranks of the nodes that a node's inputs come from. */
  const sources = graph.nodes.map((one) =>
    [...new Set(one.inputs.flatMap((name) => made.get(name) ?? []))].filter((rank) => rank >= 0),
  );
  // a node that reads a flat buffer reads what was put into its parts
  const parts = new Map<string, number[]>();
  for (const tensor of graph.tensors.values())
    if (tensor.within && made.has(tensor.name))
      parts.set(tensor.within.tensor, [...(parts.get(tensor.within.tensor) ?? []), made.get(tensor.name) as number]);
  graph.nodes.forEach((one, rank) => {
    for (const name of one.inputs)
      for (const part of parts.get(name) ?? []) if (part < rank) (sources[rank] as number[]).push(part);
  });

  /** Whether a path leads out of a set of nodes and back into it: then they cannot be one node. */
  const closes = (set: ReadonlySet<number>): boolean => {
    const first = Math.min(...set);
    const seen = new Set<number>();
    const stack: number[] = [];
    const push = (rank: number): void => {
      for (const source of sources[rank] as number[])
        if (source >= first && !set.has(source) && !seen.has(source)) stack.push(source);
    };
    for (const rank of set) push(rank);
    while (stack.length) {
      const at = stack.pop() as number;
      if (seen.has(at)) continue;
      // a group is one node: what leads to any of its members leads to all
      for (const member of groupOf.get(at)?.members ?? [at]) {
        if (set.has(member)) continue;
        seen.add(member);
        for (const source of sources[member] as number[]) {
          if (set.has(source)) return true;
          if (!seen.has(source) && (source >= first || groupOf.has(source))) stack.push(source);
        }
      }
    }
    return false;
  };
  const inputsOf = (members: readonly number[]): Set<string> => {
    const inside = new Set(members.flatMap((rank) => node(rank).outputs));
    return new Set(members.flatMap((rank) => node(rank).inputs.filter((name) => name && !inside.has(name))));
  };

  for (const [rank, one] of graph.nodes.entries()) {
    const how = fusible(one, graph);
    if (!how) continue;
    const candidates = new Set<Group>();
    for (const source of sources[rank] as number[]) {
      const found = groupOf.get(source);
      if (found) candidates.add(found);
    }
    // nodes that read the same tensor are worth one kernel too
    for (const name of one.inputs)
      if (name && elementCount(tensorOf(graph, name).shape) > 1024)
        for (const other of read.get(name) ?? []) {
          const found = other < rank ? groupOf.get(other) : undefined;
          if (found) candidates.add(found);
        }
    let own: Group = { members: [rank], shape: how.shape, reducedAxes: how.reducedAxes };
    for (const other of candidates) {
      const both = joined(other, own);
      if (!both || passes[both.members[0] as number] !== passes[rank]) continue;
      if (node(both.members[0] as number).phase !== one.phase) continue;
      if (inputsOf(both.members).size > mostInputs || closes(new Set(both.members))) continue;
      groups.delete(other);
      own = both;
    }
    groups.add(own);
    for (const member of own.members) groupOf.set(member, own);
  }

  const written = new Map<Group, Node>();
  const tensors = new Map(graph.tensors);
  const outputs = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  for (const one of groups) {
    if (one.members.length < 2) {
      groupOf.delete(one.members[0] as number);
      continue;
    }
    const inside = new Set(one.members);
    const leaves = (name: string): boolean =>
      outputs.has(name) ||
      Boolean(tensorOf(graph, name).within) ||
      (read.get(name) ?? []).some((rank) => !inside.has(rank));
    written.set(one, write(graph, one, leaves));
  }
  return prune({ ...graph, nodes: order(graph, sources, passes, groupOf, written), tensors });
}
