import type { Graph } from "../graph/graph.js";
import { budgetBytesOf } from "../plan/budget.js";
import type { Plan } from "../plan/plan.js";
import { planGraph } from "../plan/planners/index.js";
import { withoutPlanned } from "./notes.js";
import { checkOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import type { Profile } from "./profile.js";
import { loadGraph, newRunId, type Run } from "./run.js";

/** What `planRun` takes: the options of `mutwo plan`. */
export interface PlanOptions extends OptionsOf<"plan"> {
  /** How the plan is made again, for the report. */
  readonly command?: string;
}

/** The plan for a profiled step. Throws for an unknown planner or a budget that is not a size. */
export function makePlan(
  graph: Graph,
  profile: Profile,
  { budget, planner }: { readonly budget?: string; readonly planner: string },
): Plan {
  return planGraph({
    graph,
    nodeMs: profile.nodes.map((row) => row.time.medianMs),
    rows: profile.activations,
    budgetBytes: budget === undefined ? null : budgetBytesOf(budget, profile.arenaBytes),
    planner,
  });
}

/**
 * The run with another plan, made from its saved profile alone: no device, and nothing executed, so the new run has no
 * measured `after`. Throws for an unknown planner or a budget that is not a size.
 */
export function planRun(run: Run, options: PlanOptions): Run {
  checkOptions("plan", options);
  return {
    ...run,
    id: newRunId(run.model.file),
    createdAt: new Date().toISOString(),
    command: options.command ?? run.command,
    plan: makePlan(loadGraph(run.graph), run.before, withDefaults(options)),
    after: null,
    equality: null,
    paired: null,
    warnings: withoutPlanned(run),
  };
}
