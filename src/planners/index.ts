import type { Plan, PlanProblem } from "../plan.js";
import { keepAll, recomputeAll } from "./fixed.js";
import { mutwo } from "./mutwo.js";
import { swapAll } from "./swap.js";

/** Turns a measured step into a plan; the caller adds the planner's name and the time it took. */
export type Planner = (problem: PlanProblem) => Omit<Plan, "planner" | "planningMs">;

/** All planners by name. */
export const planners: Readonly<Record<string, Planner>> = { mutwo, keepAll, recomputeAll, swapAll };
