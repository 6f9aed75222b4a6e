import { type Category, categories, type Graph, type Node, producers, tensorOf } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { storages } from "./storages.js";

/** Live bytes while each node runs, by category; every storage counts once, by the tensor that holds it then. */
export const timeline = perObject((graph: Graph): Timeline => {
  const known = storages(graph);
  const count = graph.nodes.length;
  // what begins and ends at each rank
  const changes = Object.fromEntries(categories.map((c) => [c, new Float64Array(count + 2)])) as Record<
    Category,
    Float64Array
  >;
  let residentBytes = 0;
  for (const storage of known.all) {
    if (storage.resident) residentBytes += storage.bytes;
    storage.tenants.forEach(({ tensor, from }, i) => {
      const begin = Math.max(from, 0);
      const next = Math.min(storage.tenants[i + 1]?.from ?? storage.end + 1, count);
      if (begin >= next) return;
      const row = changes[tensorOf(graph, tensor).category];
      row[begin] = (row[begin] as number) + storage.bytes;
      row[next] = (row[next] as number) - storage.bytes;
    });
  }
  const byCategory = Object.fromEntries(
    categories.map((c) => {
      let live = 0;
      const row = changes[c];
      return [c, graph.nodes.map((_, rank) => (live += row[rank] as number))];
    }),
  ) as unknown as Record<Category, number[]>;
  const totalBytes = graph.nodes.map((_, rank) =>
    categories.reduce((sum, c) => sum + (byCategory[c][rank] as number), 0),
  );
  let peakRank = 0;
  totalBytes.forEach((bytes, rank) => {
    if (bytes > (totalBytes[peakRank] as number)) peakRank = rank;
  });
  return { byCategory, totalBytes, peakBytes: totalBytes[peakRank] ?? residentBytes, peakRank, residentBytes };
});

/** Greatest number of bytes that are live at once, residents included. */
export function peakBytes(graph: Graph): number {
  const known = storages(graph);
  const change = new Float64Array(graph.nodes.length + 1);
  let resident = 0;
  for (const { resident: always, bytes, start, end } of known.all)
    if (always) resident += bytes;
    else {
      change[start] = (change[start] as number) + bytes;
      change[end + 1] = (change[end + 1] as number) - bytes;
    }
  let live = resident;
  let peak = resident;
  for (let rank = 0; rank < graph.nodes.length; rank++) {
    live += change[rank] as number;
    if (live > peak) peak = live;
  }
  return peak;
}

/** The storages that are live at a rank (default: the peak), largest first. */
export function peakHolders(graph: Graph, rank = timeline(graph).peakRank): PeakHolder[] {
  const made = producers(graph);
  return storages(graph)
    .all.filter((storage) => storage.resident || (storage.start <= rank && rank <= storage.end))
    .map((storage): PeakHolder => {
      const { tensor } = storage.tenants.findLast(({ from }) => from <= rank) ?? { tensor: storage.name };
      const producer = made.get(tensor);
      return {
        name: tensor,
        category: tensorOf(graph, tensor).category,
        bytes: storage.bytes,
        producer: producer === undefined || storage.resident ? null : (graph.nodes[producer] as Node).name,
      };
    })
    .sort((a, z) => z.bytes - a.bytes || (a.name < z.name ? -1 : 1));
}

/** Live bytes while each node runs, by category; residents included. */
export interface Timeline {
  readonly byCategory: Readonly<Record<Category, readonly number[]>>;
  readonly totalBytes: readonly number[];
  readonly peakBytes: number;
  /** Rank of the (first) node at the peak. */
  readonly peakRank: number;
  /** Bytes that live through the whole step: inputs, parameters, buffers, optimizer state, constants. */
  readonly residentBytes: number;
}

/** A storage that is live at the peak. */
export interface PeakHolder {
  readonly name: string;
  readonly category: Category;
  readonly bytes: number;
  /** Name of the node that makes it; null for residents. */
  readonly producer: string | null;
}
