import type { Category, Graph } from "../graph/graph.js";
import { tensorOf } from "../graph/graph.js";
import { storages } from "../memory/storages.js";

/** How long a tensor holds a storage: what lives at a node is what its lives go over. */
export interface Life {
  readonly name: string;
  readonly category: Category;
  readonly bytes: number;
  /** Ranks of the first and the last node while which it lives. */
  readonly first: number;
  readonly last: number;
}

/** The lives of all storages of a graph, by the tensor that holds each at the time; at every rank they add up to its timeline. */
export function livesOf(graph: Graph): Life[] {
  const lives: Life[] = [];
  for (const { tenants, bytes, end } of storages(graph).all)
    tenants.forEach(({ tensor, from }, i) => {
      const last = (tenants[i + 1]?.from ?? end + 1) - 1;
      const first = Math.max(from, 0);
      if (last >= first) lives.push({ name: tensor, category: tensorOf(graph, tensor).category, bytes, first, last });
    });
  return lives;
}
