import { budgetBytesOf } from "../plan/budget.js";
import { planGraph } from "../plan/planners/index.js";
import { withoutPlanned } from "./notes.js";
import { checkOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import { loadGraph, newRunId, type Run } from "./run.js";

/** What `planRun` takes: the options of `mutwo plan`. */
export interface PlanOptions extends OptionsOf<"plan"> {
  /** How the plan is made again, for the report. */
  readonly command?: string;
}

/**
 * The run with another plan, made from its saved profile alone: no device, and nothing executed, so the new run has no
 * measured `after`. Throws for an unknown planner or a budget that is not a size.
 */
export function planRun(run: Run, options: PlanOptions): Run {
  checkOptions("plan", options);
  const { budget, planner } = withDefaults(options);
  const plan = planGraph({
    graph: loadGraph(run.graph),
    nodeMs: run.before.nodes.map((row) => row.time.medianMs),
    rows: run.before.activations,
    budgetBytes: budget === undefined ? null : budgetBytesOf(budget, run.before.arenaBytes),
    planner,
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
