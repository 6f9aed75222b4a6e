import { Evaluator } from "../../src/plan/evaluator.js";
import { frontOf } from "../../src/plan/planners/best.js";
import { allPlans, optima, toyProblem } from "../toys.js";
import { figureOf, type Tell } from "./history.js";

/** Cases that are compared, moves for each, and activations that may be evicted: all plans are some 4 to the power of them. */
const [cases, moves, free] = [500, 1000, 7];

/**
 * What planner `best` finds on random steps against the best of all plans there are, by the timeline: the ratio of the
 * added times, and how often it misses a budget that some plan meets.
 */
export function toys(tell: Tell): void {
  const ratios: number[] = [];
  let [compared, missed] = [0, 0];
  for (let seed = 1; compared < cases; seed++) {
    const problem = toyProblem(seed, free);
    const { graph, nodeMs, rows } = problem;
    const evaluator = new Evaluator(
      graph,
      nodeMs,
      rows.map(({ swapMs }) => swapMs),
    );
    const plans = allPlans(problem, evaluator);
    const baseMs = plans[0]?.totalMs ?? 0;
    for (const [budgetBytes, optimum] of optima(plans)) {
      if (optimum <= baseMs || compared === cases) continue;
      compared++;
      // a graph object of its own: what is searched is kept by it
      const { front } = frontOf({ ...problem, graph: { ...graph }, budgetBytes, effort: { moves } });
      const { peakBytes, totalMs } = front.within(budgetBytes);
      if (peakBytes > budgetBytes) missed++;
      else ratios.push((totalMs - baseMs) / (optimum - baseMs));
    }
  }
  tell(`${compared} toy steps: added time over the optimum, mean`, figureOf([mean(ratios)]));
  tell(`${compared} toy steps: added time over the optimum, worst`, figureOf([Math.max(...ratios)]));
  tell(`${compared} toy steps: budgets missed that a plan meets, %`, figureOf([(100 * missed) / compared]));
}

const mean = (list: readonly number[]): number => list.reduce((sum, one) => sum + one, 0) / list.length;
