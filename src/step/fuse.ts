import { consumers, elementCount, type Graph, type Node, producers, prune, tensorOf } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { originOf } from "../graph/origin-of.js";
import { commonPath } from "../graph/origins.js";
import { peakBytes } from "../memory/liveness.js";
import { type Group, write } from "./fused-node.js";
import { fusible, longestRow, rowShape } from "./fusible.js";
import { order, passesOf } from "./order.js";
import { rematerialize } from "./rematerialize.js";

/** How much the peak may rise for the sake of speed: fused nodes take all their inputs at once. */
const mostRise = 1.05;

/** Inputs of one fused node: every one is an address that a thread keeps. */
const mostInputs = 24;

/** Tensors with more elements are worth reading once: their readers are grouped though none reads another. */
const leastShared = 1024;

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
  const read = consumers(graph);
  const sources = sourcesOf(graph);
  const passes = passesOf(graph);
  const groupOf = groupsOf(graph, read, sources, passes);
  const written = new Map<Group, Node>();
  for (const one of new Set(groupOf.values())) written.set(one, write(graph, one, leavesOf(graph, read, one)));
  const nodes = order(graph, sources, passes, groupOf, written);
  return prune({ ...graph, nodes, ...originsOfFused(graph, written) });
}

/** The origins with fused nodes in the module that holds all their parts, where that is not the one of their name. */
function originsOfFused({ origins, nodes }: Graph, written: ReadonlyMap<Group, Node>): Pick<Graph, "origins"> {
  if (!origins) return {};
  const fused = [...written].flatMap(([{ members }, { name }]): (readonly [string, string])[] => {
    const paths = members.flatMap((rank) => originOf(origins, nodes[rank]?.name ?? "")?.module ?? []);
    const whole = paths.length ? paths.reduce(commonPath) : undefined;
    return whole === undefined || whole === originOf(origins, name)?.module ? [] : [[name, whole]];
  });
  return fused.length ? { origins: { ...origins, fused: [...(origins.fused ?? []), ...fused] } } : {};
}

type Sources = readonly (readonly number[])[];

/** For each node the ranks of the nodes that its inputs come from; a flat buffer comes from its parts. */
function sourcesOf(graph: Graph): Sources {
  const made = producers(graph);
  const parts = new Map<string, number[]>();
  for (const { name, within } of graph.tensors.values()) {
    const rank = made.get(name);
    if (within && rank !== undefined) addTo(parts, within.tensor, rank);
  }
  return graph.nodes.map(({ inputs }, rank) => {
    const direct = new Set(inputs.flatMap((name) => made.get(name) ?? []));
    return [...direct, ...inputs.flatMap((name) => (parts.get(name) ?? []).filter((part) => part < rank))];
  });
}

/** The group of each fusible node that can be grouped with others, by rank. */
function groupsOf(
  graph: Graph,
  read: ReadonlyMap<string, readonly number[]>,
  sources: Sources,
  passes: readonly number[],
): ReadonlyMap<number, Group> {
  const groupOf = new Map<number, Group>();
  const node = (rank: number): Node => graph.nodes[rank] as Node;
  const fits = (both: Group, rank: number): boolean => {
    const [first] = both.members as [number];
    if (passes[first] !== passes[rank] || node(first).phase !== node(rank).phase) return false;
    return inputsOf(graph, both).size <= mostInputs && !closes(new Set(both.members), sources, groupOf);
  };
  for (const [rank, one] of graph.nodes.entries()) {
    const how = fusible(one, graph);
    if (!how) continue;
    let own: Group = { members: [rank], shape: how.shape, reducedAxes: how.reducedAxes };
    for (const other of neighbours(graph, read, sources, groupOf, rank)) {
      const both = joined(other, own);
      if (both && fits(both, rank)) own = both;
    }
    for (const member of own.members) groupOf.set(member, own);
  }
  return new Map([...groupOf].filter(([, { members }]) => members.length > 1));
}

/** Groups that a node might join: those of its sources, and of earlier readers of the same large tensors. */
function neighbours(
  graph: Graph,
  read: ReadonlyMap<string, readonly number[]>,
  sources: Sources,
  groupOf: ReadonlyMap<number, Group>,
  rank: number,
): Set<Group> {
  // nodes that read the same tensor are worth one kernel too
  const shared = (graph.nodes[rank] as Node).inputs
    .filter((name) => name && elementCount(tensorOf(graph, name).shape) > leastShared)
    .flatMap((name) => (read.get(name) ?? []).filter((other) => other < rank));
  return new Set([...(sources[rank] as number[]), ...shared].flatMap((other) => groupOf.get(other) ?? []));
}

/** Tensors that the members of a group read and do not make. */
function inputsOf(graph: Graph, { members }: Group): Set<string> {
  const nodes = members.map((rank) => graph.nodes[rank] as Node);
  const inside = new Set(nodes.flatMap(({ outputs }) => outputs));
  return new Set(nodes.flatMap(({ inputs }) => inputs.filter((name) => name && !inside.has(name))));
}

/** Whether a path leads out of a set of nodes and back into it: then they cannot be one node. */
function closes(set: ReadonlySet<number>, sources: Sources, groupOf: ReadonlyMap<number, Group>): boolean {
  const first = Math.min(...set);
  const seen = new Set<number>();
  const stack: number[] = [];
  for (const rank of set)
    for (const source of sources[rank] as number[]) if (source >= first && !set.has(source)) stack.push(source);
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
}

/** Says which results of a group's members are read outside of it, or must be there when the step ends. */
function leavesOf(graph: Graph, read: ReadonlyMap<string, readonly number[]>, { members }: Group) {
  const inside = new Set(members);
  const outputs = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  return (name: string): boolean =>
    outputs.has(name) ||
    tensorOf(graph, name).within !== undefined ||
    (read.get(name) ?? []).some((rank) => !inside.has(rank));
}
