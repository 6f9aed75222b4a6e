import type { Graph } from "../graph/graph.js";
import type { Plan, PlanProblem } from "../plan/plan.js";
import { planGraph } from "../plan/planners/index.js";
import type { Profile } from "./profile.js";
import { loadGraph, type Run } from "./run.js";

/** What a plan is of, for another budget. */
export const problemOf = (
  { nodes, activations }: Pick<Profile, "nodes" | "activations">,
  graph: Graph,
  budgetBytes: number | null,
  constraints?: PlanProblem["constraints"],
): PlanProblem => ({
  graph,
  nodeMs: nodes.map(({ time }) => time.medianMs),
  rows: activations,
  budgetBytes,
  ...(constraints ? { constraints } : {}),
});

const known = new WeakMap<Plan, Plan>();

/**
 * The plan that reaches the least peak that an infeasible plan knows of: that plan itself, or what the planner that it
 * names makes of the same step, which is planned once. A feasible plan is its own.
 */
export function leastPlan({ graph, before }: Pick<Run, "graph" | "before">, plan: Plan): Plan {
  const { minimumPlanner, minimumPeakBytes, constraints, feasible } = plan;
  if (feasible || minimumPlanner === undefined) return plan;
  const planned =
    known.get(plan) ??
    planGraph({
      ...problemOf(before, loadGraph(graph), minimumPeakBytes, constraints),
      planner: minimumPlanner,
    });
  known.set(plan, planned);
  return planned;
}
