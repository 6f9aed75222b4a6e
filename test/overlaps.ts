import type { Graph } from "../src/graph/graph.js";
import { layout } from "../src/memory/layout.js";
import { type Storage, storages } from "../src/memory/storages.js";

/** From which rank to which a storage holds something. */
export const span = (graph: Graph, storage: Storage): [from: number, to: number] =>
  storage.resident ? [-1, graph.nodes.length] : [storage.start, storage.end];

/** Pairs of storages that lie in the same bytes while both are live, in either memory. */
export function overlaps(graph: Graph): string[] {
  const { offsets, hostOffsets } = layout(graph);
  const { all, host } = storages(graph);
  const found: string[] = [];
  for (const [list, places] of [[all, offsets] as const, [host, hostOffsets] as const])
    list.forEach((a, i) => {
      const [from, to] = span(graph, a);
      const start = places.get(a.name) as number;
      for (const z of list.slice(i + 1)) {
        const [first, last] = span(graph, z);
        const at = places.get(z.name) as number;
        if (from <= last && first <= to && start < at + z.bytes && at < start + a.bytes)
          found.push(`${a.name} ${z.name}`);
      }
    });
  return found;
}
