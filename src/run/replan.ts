import { budgetBytesOf } from "../plan/budget.js";
import { planGraph } from "../plan/planners/index.js";
import { withoutPlanned } from "./notes.js";
import { loadGraph, newRunId, type Run } from "./run.js";

/**
 * The run with another plan, made from its saved profile alone: no device, and nothing executed, so the new run has no
 * measured `after`. Throws for an unknown planner or a budget that is not a size.
 */
export function planRun(run: Run, options: { budget?: string; planner?: string; command?: string }): Run {
  const plan = planGraph({
    graph: loadGraph(run.graph),
    nodeMs: run.before.nodes.map((row) => row.time.medianMs),
    rows: run.before.activations,
    budgetBytes: options.budget === undefined ? null : budgetBytesOf(options.budget, run.before.arenaBytes),
    planner: options.planner ?? "mutwo",
  });
  return {
    ...run,
    id: newRunId(run.model.file),
    createdAt: new Date().toISOString(),
    command: options.command ?? run.command,
    plan,
    after: null,
    equality: null,
    paired: null,
    warnings: withoutPlanned(run),
  };
}
