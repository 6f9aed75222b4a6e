import type { Plan, Planner, PlanProblem } from "../plan.js";
import { keepAll, recomputeAll } from "./fixed.js";
import { mutwo } from "./mutwo.js";
import { swapAll } from "./swap-all.js";

/** Plans a step into a budget with the planner of that name. Throws `unknown planner: …`, or if it needs a budget. */
export function planGraph(problem: PlanProblem & { readonly planner: string }): Plan {
  const began = performance.now();
  const planner = planners[problem.planner];
  if (!planner) throw new Error(`unknown planner: ${problem.planner} (one of ${Object.keys(planners).join(", ")})`);
  const plan = planner(problem);
  return { ...plan, planner: problem.planner, planningMs: performance.now() - began };
}

/** All planners by name. */
export const planners: Readonly<Record<string, Planner>> = { mutwo, keepAll, recomputeAll, swapAll };
