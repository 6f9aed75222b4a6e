import { formatBytes } from "../../format.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import type { Planner } from "../plan.js";
import { type Choice, judge, planOf } from "./prefix.js";

/** A planner without a choice: one set of decisions, whatever the budget. */
const fixed =
  (chosen: (row: ActivationRow) => boolean): Planner =>
  (problem) => {
    const choices = problem.rows.filter(chosen).map(
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
    const arena = best.arenaBytes();
    return planOf(problem, prefixes, best, problem.budgetBytes === null || arena <= problem.budgetBytes, arena);
  };

/** Keeps every activation: the unplanned step. */
export const keepAll = fixed(() => false);

/** Recomputes every activation that can be recomputed. */
export const recomputeAll = fixed((row) => row.fixed === null && row.memoryBytes > 0);
