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
  return storages(graph).all.flatMap(({ tenants, bytes, end }) =>
    tenants.flatMap(({ tensor, from }, i): Life[] => {
      const last = (tenants[i + 1]?.from ?? end + 1) - 1;
      const first = Math.max(from, 0);
      return last < first ? [] : [{ name: tensor, category: tensorOf(graph, tensor).category, bytes, first, last }];
    }),
  );
}
