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

/** The ring that a plan says, of a joint graph that is not planned yet. */
export const ringOfPlan = (graph: Graph, { members, stages, before }: PlannedRing): Ring => ({
  members,
  stages,
  before: new Map(Object.entries(before)),
  own: new Set(graph.nodes.map(({ name }) => name)),
});

/** The step that a plan makes of a graph: its decisions carried out, and multiplexed where it says so. Throws what `rewrite` and `rotate` do. */
export function executedGraph(
  graph: Graph,
  { decisions, states, ring }: Pick<Plan, "decisions" | "states" | "ring">,
): ExecutedGraph {
  const planned = rewrite(graph, decisions, states);
  if (!ring) return { graph: planned };
  const rotation = rotate(planned, ringOfPlan(graph, ring));
  return { graph: rotation.graph, rotation };
}
