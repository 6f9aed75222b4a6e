import { formatBytes } from "../../format.js";
import { type Allowed, allowedActions } from "../allowed.js";
import type { Planner } from "../plan.js";
import { type Choice, judge, meets, planOf } from "./prefix.js";

/** A planner without a choice: one set of decisions, whatever the budget. */
const fixed =
  (chosen: (allowed: Allowed) => boolean): Planner =>
  (problem) => {
    const allowed = allowedActions(problem);
    const rows = problem.rows.filter(({ name }) => chosen(allowed.get(name) as Allowed));
    const choices = rows.map(
      (row): Choice => ({
        activation: row.name,
        action: "recompute",
        savedBytes: row.memoryBytes,
        recomputeRatio: row.recomputeRatio,
        inactiveMs: row.inactiveMs,
        why: `this planner recomputes everything that can be; ${formatBytes(row.memoryBytes)} are free in between`,
      }),
    );
    const prefixes = [judge(problem, [])];
    const best = judge(problem, choices);
    return planOf(problem, prefixes, best, meets(problem, best), best.arenaBytes());
  };

/** Keeps every activation: the unplanned step. */
export const keepAll = fixed(() => false);

/** Recomputes every activation that can be recomputed. */
export const recomputeAll = fixed(({ recompute }) => recompute);
