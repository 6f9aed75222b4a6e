import { consumers, elementCount, type Graph, type Node, producers, tensorOf } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { perObject } from "../graph/memo.js";
import type { Group } from "./fused-node.js";
import { type Fusible, fitsRows, fusible, rowShape } from "./fusible.js";

/** Inputs of one fused node: every one is an address that a thread keeps. */
export const mostInputs = 24;

/** Tensors with more elements are worth reading once: their readers are grouped though none reads another. */
const leastShared = 1024;

/** So many of the readers just before a node may be grouped with it: those further back would fit no better. */
const mostReaders = 32;

/** A group while it grows. */
interface Growing {
  /** Ranks, in no order. */
  readonly members: number[];
  /** The least of them. */
  first: number;
  /** What the group goes over. */
  over: Fusible;
  /** Tensors that members read and do not make. */
  inputs: ReadonlySet<string>;
  /** Ranks of the nodes outside that those come from. */
  sources: ReadonlySet<number>;
  /** Sums over channels that members make: known only when the whole node is over, so that no member reads them. */
  sums: readonly string[];
}

/** What two groups go over together; undefined if that does not fit. */
function joined(a: Fusible, z: Fusible): Fusible | undefined {
  if (a.reducedAxes && z.reducedAxes && a.reducedAxes !== z.reducedAxes) return undefined;
  const reducedAxes = a.reducedAxes || z.reducedAxes;
  const overChannels = a.overChannels || z.overChannels;
  if (overChannels && reducedAxes) return undefined;
  const [large, small] = elementCount(a.shape) >= elementCount(z.shape) ? [a, z] : [z, a];
  const isFull = large.shape.join() === small.shape.join();
  // a pointwise node on row values belongs to the rows of the group
  const isRow = reducedAxes > 0 && !small.reducedAxes && small.shape.join() === rowShape(large.shape, reducedAxes);
  if (!isFull && !isRow) return undefined;
  if (reducedAxes && !fitsRows(large.shape, reducedAxes)) return undefined;
  return { shape: large.shape, reducedAxes, overChannels };
}

/** For each node the ranks of the nodes that its inputs come from; a flat buffer comes from its parts. */
export const sourcesOf = perObject((graph: Graph): readonly (readonly number[])[] => {
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
});

/**
 * Ranks that groups span, as intervals that do not overlap. Who goes back from a node to what it is made from, a group
 * being one node, never comes to a rank beyond the interval that it starts in.
 */
class Spans {
  private readonly firsts: number[] = [];
  private readonly lasts: number[] = [];

  /** Adds the span of a group that ends at the greatest rank so far. */
  add(first: number, last: number): void {
    let begin = first;
    while ((this.lasts.at(-1) ?? -1) >= first) {
      begin = Math.min(begin, this.firsts.pop() as number);
      this.lasts.pop();
    }
    this.firsts.push(begin);
    this.lasts.push(last);
  }

  /** The greatest rank to which a way back from this one may lead. */
  lastFrom(rank: number): number {
    let [low, high] = [0, this.firsts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.firsts[middle] as number) <= rank) low = middle + 1;
      else high = middle;
    }
    return Math.max(rank, this.lasts[low - 1] ?? -1);
  }
}

/** Groups the fusible nodes of a graph, node by node in the order of the schedule. */
class Grouper {
  /** The group of each fusible node so far, by rank. */
  readonly groupOf = new Map<number, Growing>();
  private readonly read: ReadonlyMap<string, readonly number[]>;
  private readonly made: ReadonlyMap<string, number>;
  private readonly spans = new Spans();

  constructor(
    private readonly graph: Graph,
    private readonly sources: readonly (readonly number[])[],
    private readonly passes: readonly number[],
  ) {
    this.read = consumers(graph);
    this.made = producers(graph);
  }

  /** Makes one group of a node and all groups near it that fit. */
  add(rank: number, over: Fusible): void {
    const { inputs: from, outputs } = this.node(rank);
    let own: Growing = {
      members: [rank],
      first: rank,
      over,
      inputs: new Set(from.filter(Boolean)),
      sources: new Set(this.sources[rank]),
      sums: over.overChannels ? outputs : [],
    };
    this.groupOf.set(rank, own);
    for (const other of this.neighbours(rank)) own = this.join(other, own, rank) ?? own;
    this.spans.add(own.first, rank);
  }

  private node(rank: number): Node {
    return this.graph.nodes[rank] as Node;
  }

  /** Groups that a node might join: those of its sources, and of earlier readers of the same large tensors. */
  private neighbours(rank: number): Set<Growing> {
    const { graph, read, groupOf } = this;
    // nodes that read the same tensor are worth one kernel too
    const shared = this.node(rank)
      .inputs.filter((name) => name && elementCount(tensorOf(graph, name).shape) > leastShared)
      .flatMap((name) => lastBefore(read.get(name) ?? [], rank));
    const near = new Set([...(this.sources[rank] as number[]), ...shared]);
    return new Set([...near].flatMap((other) => groupOf.get(other) ?? []));
  }

  /** Two groups as one, which either of them becomes; undefined if they cannot be one node. */
  private join(a: Growing, z: Growing, rank: number): Growing | undefined {
    const { groupOf, made } = this;
    const over = joined(a.over, z.over);
    const first = Math.min(a.first, z.first);
    const isSamePart = this.passes[first] === this.passes[rank] && this.node(first).phase === this.node(rank).phase;
    if (!over || !isSamePart) return undefined;
    const sums = [...a.sums, ...z.sums];
    if (sums.some((name) => a.inputs.has(name) || z.inputs.has(name))) return undefined;
    const isOutside = (at: number | undefined): boolean => {
      const group = at === undefined ? undefined : groupOf.get(at);
      return group === undefined || (group !== a && group !== z);
    };
    const inputs = new Set([...a.inputs, ...z.inputs].filter((name) => isOutside(made.get(name))));
    if (inputs.size > mostInputs) return undefined;
    const sources = new Set([...a.sources, ...z.sources].filter(isOutside));
    if (this.closes(sources, first, isOutside)) return undefined;
    const [large, small] = a.members.length >= z.members.length ? [a, z] : [z, a];
    for (const member of small.members) {
      large.members.push(member);
      groupOf.set(member, large);
    }
    return Object.assign(large, { first, over, inputs, sources, sums });
  }

  /** Whether a path leads out of a set of nodes and back into it: then they cannot be one node. */
  private closes(outer: Iterable<number>, first: number, isOutside: (rank: number) => boolean): boolean {
    const { groupOf, sources, spans } = this;
    const seen = new Set<Growing | number>();
    const stack = [...outer];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (!isOutside(at)) return true;
      // a group is one node: what leads to any of its members leads to all
      const unit = groupOf.get(at) ?? at;
      if (seen.has(unit) || spans.lastFrom(at) < first) continue;
      seen.add(unit);
      for (const source of typeof unit === "number" ? (sources[unit] as number[]) : unit.sources) stack.push(source);
    }
    return false;
  }
}

/** The readers just before a rank, of readers in the order of their ranks. */
function lastBefore(readers: readonly number[], rank: number): readonly number[] {
  let [low, high] = [0, readers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((readers[middle] as number) < rank) low = middle + 1;
    else high = middle;
  }
  return readers.slice(Math.max(0, low - mostReaders), low);
}

/** The group of each fusible node, by rank; one that cannot be grouped with others is a group alone. */
export function groupsOf(
  graph: Graph,
  sources: readonly (readonly number[])[],
  passes: readonly number[],
): ReadonlyMap<number, Group> {
  const grouper = new Grouper(graph, sources, passes);
  for (const [rank, node] of graph.nodes.entries()) {
    const over = fusible(node, graph);
    if (over) grouper.add(rank, over);
  }
  const groups = new Map(
    [...new Set(grouper.groupOf.values())].map((one): [Growing, Group] => {
      const { over, members } = one;
      return [one, { shape: over.shape, members: members.sort((a, z) => a - z) }];
    }),
  );
  return new Map([...grouper.groupOf].map(([rank, one]) => [rank, groups.get(one) as Group]));
}
