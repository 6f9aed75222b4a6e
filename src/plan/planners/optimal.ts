import { boundOf, startBound } from "../bound.js";
import type { Planner, PlanProblem, Stretch } from "../plan.js";
import { Search } from "../search.js";
import { best, defaultEffort, frontOf, planOfFront } from "./best.js";

/** Times that the program is solved again, with less memory where blocks and held copies do not fit. */
const rounds = 4;
/** Share of the moves that is tried from each solution, and once more from the best plan. */
const roundShare = 0.15;
/** A solver that was given some time needs a little more to begin and to end, ms. */
const graceMs = 1000;

/**
 * The plan of an integer program (program.ts), solved by HiGHS, whose cost is a lower bound on that of every plan. The
 * program leaves out what blocks and held copies need themselves: where they do not fit, it is solved again with that
 * much less memory there, and each solution is improved by the search's moves until it fits by the exact timeline. What
 * `best` finds meanwhile is among the starts, so that the plan is never dearer. Without a budget there is nothing to
 * solve: the plan is that of `best`.
 */
export const optimal: Planner = (problem) => {
  const { budgetBytes } = problem;
  if (budgetBytes === null) return best(problem);
  const effort = { ...defaultEffort, ...problem.effort };
  const search = new Search(problem, effort);
  const { evaluator, front } = search;
  const began = performance.now();
  const bounding = startBound(problem, { evaluator, timeLimitMs: effort.timeLimitMs });
  for (const { actions } of frontOf(problem).front.points) front.add(actions, evaluator.evaluate(actions));
  const bound = bounding.collect(began + effort.timeLimitMs + graceMs - performance.now());
  const from = performance.now();
  const stretch = (share: number): Stretch => ({
    moves: roundShare * effort.moves,
    until: from + share * effort.timeLimitMs,
  });
  if (bound?.actions) repair(problem, search, bound.actions, stretch(0.5));
  // sets without copies lose less where blocks need more memory than the program sees
  const swapless = { ...problem, constraints: { ...problem.constraints, swap: false } };
  const other = startBound(swapless, { evaluator, timeLimitMs: 0.25 * effort.timeLimitMs });
  search.improve(front.within(budgetBytes).actions, budgetBytes, stretch(0.75));
  const plain = other.collect(0.25 * effort.timeLimitMs + graceMs)?.actions;
  if (plain) repair(swapless, search, plain, stretch(1));
  const own = planOfFront(problem, { search, front });
  // a plan that is better by the timeline may be worse laid out
  const found = best(problem);
  const isBetter = found.feasible && (!own.feasible || found.addedMs < own.addedMs);
  return { ...(isBetter ? found : own), ...boundOf(bound) };
};

/** Makes a program's solution fit, by less memory in the program where it does not, and by the search's moves. */
function repair(problem: PlanProblem, search: Search, first: Uint8Array, effort: Stretch): void {
  const { evaluator } = search;
  const budgetBytes = problem.budgetBytes as number;
  const budgets = new Float64Array(problem.graph.nodes.length).fill(budgetBytes);
  const leftMs = (): number => Math.max(0, effort.until - performance.now());
  let actions: Uint8Array | undefined = first;
  for (let round = 0; actions && round < rounds; round++) {
    const { liveBytes, peakBytes } = evaluator.evaluate(actions);
    if (peakBytes <= budgetBytes || leftMs() === 0) break;
    liveBytes.forEach((bytes, rank) => {
      budgets[rank] = (budgets[rank] as number) - Math.max(0, bytes - budgetBytes);
    });
    const budgetAt = (rank: number): number => budgets[rank] as number;
    const again = startBound(problem, { evaluator, timeLimitMs: leftMs(), budgetAt });
    search.improve(actions, budgetBytes, effort);
    actions = again.collect(leftMs())?.actions;
  }
  if (actions) search.improve(actions, budgetBytes, effort);
}
