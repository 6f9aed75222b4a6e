import type { BesidePlan, Plan } from "../plan/plan.js";

/** A plan in short, to stand beside others. */
export function inShort({ planner, feasible, peakBytes, addedMs, decisions }: Plan): BesidePlan {
  const swapped = decisions.filter(({ action }) => action === "swap").length;
  return { planner, feasible, peakBytes, addedMs, recomputed: decisions.length - swapped, swapped };
}
