import { consumers, type Graph, tensorOf } from "../graph/graph.js";

/** The tensors within each flat buffer, of those that are wanted. */
export function slicesOf(graph: Graph, isWanted: (name: string) => boolean): Map<string, string[]> {
  const slices = new Map<string, string[]>();
  for (const { name, within } of graph.tensors.values()) {
    if (!within || !isWanted(name)) continue;
    const list = slices.get(within.tensor);
    if (list) list.push(name);
    else slices.set(within.tensor, [name]);
  }
  return slices;
}

/** When each tensor is read for the last time, in any of its views; graph outputs are read by whoever comes after. */
export function lastReads(
  graph: Graph,
  made: ReadonlyMap<string, number>,
  origin: (name: string) => string,
  parts: ReadonlyMap<string, readonly string[]>,
): Map<string, number> {
  const read = consumers(graph);
  const outputs = new Set(graph.outputs);
  const lastRead = new Map<string, number>();
  const extend = (name: string, rank: number): void => {
    lastRead.set(name, Math.max(lastRead.get(name) ?? -1, rank));
  };
  for (const name of graph.tensors.keys()) {
    const ranks = read.get(name) ?? [];
    const final = outputs.has(name) ? graph.nodes.length - 1 : (ranks.at(-1) ?? -1);
    if (final < 0) continue;
    extend(origin(name), final);
    // who reads a flat buffer reads what was put last into each of its places
    const inside = parts.get(name) ?? [];
    for (const rank of inside.length ? ranks : []) {
      const places = new Set<number | undefined>();
      for (const part of inside) {
        const place = tensorOf(graph, part).within?.offsetBytes;
        if ((made.get(part) as number) >= rank || places.has(place)) continue;
        places.add(place);
        extend(origin(part), rank);
      }
    }
  }
  return lastRead;
}
