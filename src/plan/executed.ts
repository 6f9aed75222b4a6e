import type { Graph } from "../graph/graph.js";
import type { Ring } from "./multiplex/ring.js";
import { type Rotation, rotate } from "./multiplex/rotate.js";
import type { Plan, PlannedRing } from "./plan.js";
import { rewrite } from "./rewrite.js";

/** A graph that is run over and over, and what is run before and after it where it is multiplexed. */
export interface ExecutedGraph {
  readonly graph: Graph;
  readonly rotation?: Rotation | undefined;
}

/** What a run.json holds of a ring. */
export const plannedRing = ({ members, stages, before }: Ring): PlannedRing => ({
  members,
  stages,
  before: Object.fromEntries(before),
});

/** The step that a plan makes of a graph: its decisions carried out, and multiplexed where it says so. Throws what `rewrite` and `rotate` do. */
export function executedGraph(graph: Graph, { decisions, ring }: Pick<Plan, "decisions" | "ring">): ExecutedGraph {
  const planned = rewrite(graph, decisions);
  if (!ring) return { graph: planned };
  const own = new Set(graph.nodes.map(({ name }) => name));
  const rotation = rotate(planned, { ...ring, own, before: new Map(Object.entries(ring.before)) });
  return { graph: rotation.graph, rotation };
}
