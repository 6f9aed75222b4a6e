import { type Graph, isForward, type Node } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import type { Group } from "./fused-node.js";

/** Number of the pass that each node belongs to: forward, backward, and so on for each micro-batch, then the update. */
export function passesOf(graph: Graph): number[] {
  let pass = 0;
  let before = "";
  return graph.nodes.map(({ phase }) => {
    const kind = isForward(phase) ? "forward" : phase;
    if (before && kind !== before) pass++;
    before = kind;
    return pass;
  });
}

/** All nodes in an order that keeps every dependency: pass by pass, each as near to its old place as it can be. */
export function order(
  graph: Graph,
  sources: readonly (readonly number[])[],
  passes: readonly number[],
  groupOf: ReadonlyMap<number, Group>,
  written: ReadonlyMap<Group, Node>,
): Node[] {
  // one unit for each group and each single node, standing at the rank of its last member
  const unitOf = graph.nodes.map((_, rank) => {
    const group = groupOf.get(rank);
    return group ? (group.members.at(-1) as number) : rank;
  });
  const members = new Map<number, number[]>();
  for (const [rank, unit] of unitOf.entries()) addTo(members, unit, rank);
  const waiting = new Map<number, number>();
  const followers = new Map<number, Set<number>>();
  for (const [unit, ranks] of members) {
    const needed = new Set(ranks.flatMap((rank) => (sources[rank] as number[]).map((s) => unitOf[s] as number)));
    needed.delete(unit);
    waiting.set(unit, needed.size);
    for (const source of needed) followers.set(source, (followers.get(source) ?? new Set()).add(unit));
  }
  const place = (unit: number): number => (passes[unit] as number) * graph.nodes.length + unit;
  // units come out in the order of their places, except where one still waits
  const ready = new Heap(place);
  for (const [unit, count] of waiting) if (count === 0) ready.push(unit);
  const nodes: Node[] = [];
  for (let unit = ready.pop(); unit !== undefined; unit = ready.pop()) {
    const group = groupOf.get(unit);
    nodes.push(group ? (written.get(group) as Node) : (graph.nodes[unit] as Node));
    for (const next of followers.get(unit) ?? []) {
      const left = (waiting.get(next) as number) - 1;
      waiting.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  if (nodes.length !== members.size) throw new Error(`a cycle among fused nodes (graph ${graph.name})`);
  return nodes;
}

/** A binary heap: the smallest by `key` first. */
class Heap {
  private readonly items: number[] = [];
  constructor(private readonly key: (item: number) => number) {}
  push(item: number): void {
    const { items, key } = this;
    items.push(item);
    for (let i = items.length - 1; i > 0; ) {
      const up = (i - 1) >> 1;
      if (key(items[up] as number) <= key(items[i] as number)) break;
      [items[up], items[i]] = [items[i] as number, items[up] as number];
      i = up;
    }
  }
  pop(): number | undefined {
    const { items, key } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length && last !== undefined) {
      items[0] = last;
      for (let i = 0; ; ) {
        const [left, right] = [2 * i + 1, 2 * i + 2];
        let least = i;
        for (const child of [left, right])
          if (child < items.length && key(items[child] as number) < key(items[least] as number)) least = child;
        if (least === i) break;
        [items[least], items[i]] = [items[i] as number, items[least] as number];
        i = least;
      }
    }
    return top;
  }
}
