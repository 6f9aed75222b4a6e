import { allowedActions } from "../allowed.js";
import { missingBudget } from "../budget.js";
import { Evaluator } from "../evaluator.js";
import type { Plan, Planner, PlanProblem } from "../plan.js";
import { alone, keep } from "../schedule.js";
import { best } from "./best.js";
import { capuchin } from "./capuchin.js";
import { checkmate } from "./checkmate.js";
import { keepAll, recomputeAll } from "./fixed.js";
import { inTurn, turnsOf } from "./in-turn.js";
import { mutwo } from "./mutwo.js";
import { onHost } from "./on-host.js";
import { optimal } from "./optimal.js";
import { sqrt } from "./sqrt.js";
import { swapAll } from "./swap-all.js";

/**
 * Plans a step into a budget with the planner of that name. Throws `unknown planner: …`, or if it needs a budget and
 * gets neither one nor a limit of time.
 */
export function planGraph(problem: PlanProblem & { readonly planner: string }): Plan {
  const began = performance.now();
  const { planner, budgetBytes, constraints, variant = "mended" } = problem;
  const chosen = checkPlanner(planner, budgetBytes !== null || constraints?.maxAddedMs !== undefined);
  const plan = suited(chosen, problem)(problem);
  const settled = planner === "mutwo" ? { planner, variant } : { planner };
  const isLimited = constraints?.maxAddedMs !== undefined || constraints?.hostBytes !== undefined;
  return {
    ...plan,
    ...(plan.feasible || budgetBytes === null || isLimited ? {} : leastOf(problem, plan)),
    ...settled,
    planningMs: performance.now() - began,
    ...(constraints ? { constraints } : {}),
  };
}

/**
 * A planner for a problem: of steps that are executed one after the other each is planned for itself, and states are on the
 * host where activations alone do not suffice. Printed pseudo-code is executed to the letter.
 */
function suited(planner: Planner, { graph, steady, variant }: PlanProblem): Planner {
  if (steady || !needBudget.has(planner) || (planner === mutwo && variant === "printed")) return planner;
  return turnsOf(graph) ? inTurn(planner) : onHost(planner);
}

/** Those that reach low peaks, and take no time to. */
const lowest = ["swapAll", "recomputeAll", "sqrt", "capuchin", "mutwo"];
/** A plan of so many times the step's nodes counts for nothing: all of a chain made again is as long as its square. */
const mostGrowth = 8;

function growsTooLong(problem: PlanProblem): boolean {
  const { graph, nodeMs, rows } = problem;
  const swapMs = rows.map((row) => row.swapMs);
  const evaluator = new Evaluator(graph, nodeMs, swapMs, mostGrowth * graph.nodes.length);
  const allowed = allowedActions(problem);
  const all = Uint8Array.from(evaluator.graph.activations, (name) => (allowed.get(name)?.recompute ? alone : keep));
  return evaluator.evaluate(all).nodeCount === Number.POSITIVE_INFINITY;
}

/** The least peak that any of them reaches, where that is less than the plan's own. */
function leastOf(
  problem: PlanProblem,
  { minimumPeakBytes }: Pick<Plan, "minimumPeakBytes">,
): Pick<Plan, "minimumPeakBytes" | "minimumPlanner"> {
  let least: Pick<Plan, "minimumPeakBytes" | "minimumPlanner"> = { minimumPeakBytes };
  for (const name of lowest) {
    if (name === "recomputeAll" && growsTooLong(problem)) continue;
    const { minimumPeakBytes: bytes } = suited(planners.get(name) as Planner, problem)({ ...problem, budgetBytes: 1 });
    if (bytes < least.minimumPeakBytes) least = { minimumPeakBytes: bytes, minimumPlanner: name };
  }
  return least;
}

/** All planners by name. */
const planners: ReadonlyMap<string, Planner> = new Map([
  ["best", best],
  ["optimal", optimal],
  ["mutwo", mutwo],
  ["capuchin", capuchin],
  ["sqrt", sqrt],
  ["checkmate", checkmate],
  ["keepAll", keepAll],
  ["recomputeAll", recomputeAll],
  ["swapAll", swapAll],
]);

/** The names of all planners. */
export const allPlannerNames: readonly string[] = [...planners.keys()];

/** Those that have nothing to plan for without a budget. */
const needBudget: ReadonlySet<Planner> = new Set([best, optimal, mutwo, capuchin, sqrt, checkmate]);

/** Those that solve an integer program for each budget anew. */
const solving: ReadonlySet<Planner> = new Set([optimal, checkmate]);

/** The names of the planners that take every budget without solving a program for it, or of those that have one plan whatever it is. */
export const plannerNames = (kind: "every budget" | "one plan"): string[] =>
  [...planners].flatMap(([name, planner]) =>
    !solving.has(planner) && needBudget.has(planner) === (kind === "every budget") ? [name] : [],
  );

/** The planner of that name. Throws `unknown planner: …`, `planner needs a budget: …`. */
export function checkPlanner(name: string, hasGoal: boolean): Planner {
  const planner = planners.get(name);
  if (!planner) throw new Error(`unknown planner: ${name} (one of ${allPlannerNames.join(", ")})`);
  if (!hasGoal && needBudget.has(planner)) throw missingBudget(name);
  return planner;
}
