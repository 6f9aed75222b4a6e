import { perObject } from "../../graph/memo.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { limitsKey } from "../allowed.js";
import type { Planner, PlanProblem } from "../plan.js";
import { type Again, Descent } from "./descent.js";
import { type Draft, Drafts, type Taken } from "./drafts.js";
import { mutwoPrinted } from "./mutwo-printed.js";

/** What is so far below the lowest peak on the way down is not tried for itself. */
const hopeless = 0.9;
/** How often what a plan can do without is looked for. */
const mostPasses = 3;

/** A draft without the decisions that it can do without, whose copies back are no later than they must be. */
function lean(drafts: Drafts, draft: Draft, goalBytes: number): Draft {
  let now = draft;
  const attempt = (taken: readonly Taken[]): boolean => {
    const next = drafts.draft(taken);
    const isBetter = next.peakBytes <= goalBytes && next.totalMs <= now.totalMs;
    if (isBetter) now = next;
    return isBetter;
  };
  const cost = ({ index, action }: Taken): number => {
    const { recomputeMs, swapMs } = drafts.rows[index] as ActivationRow;
    return action === "swap" ? swapMs : recomputeMs;
  };
  for (let pass = 0, dropped = true; dropped && pass < mostPasses; pass++) {
    dropped = false;
    const dearest = [...now.taken].sort((a, z) => cost(z) - cost(a));
    const size = Math.ceil((2 * dearest.length) / drafts.steps);
    for (let at = 0; at < dearest.length; at += size) {
      const without = new Set(dearest.slice(at, at + size).map(({ index }) => index));
      if (attempt(now.taken.filter(({ index }) => !without.has(index)))) dropped = true;
    }
  }
  // copies that were let go are held after all where that fits; those that are needed first free the most time
  const alone = now.taken.filter(({ action }) => action === "recompute");
  for (const { index } of alone.slice(0, drafts.steps))
    attempt(now.taken.map((one) => (one.index === index ? { ...one, action: "hold" } : one)));
  for (const { index } of now.taken.filter(({ earliest }) => earliest).slice(0, drafts.steps))
    attempt(now.taken.map((one) => (one.index === index ? { ...one, earliest: 0 } : one)));
  return now;
}

interface Ways extends Pick<PlanProblem, "nodeMs" | "rows"> {
  readonly limits: string;
  readonly drafts: Drafts;
  /** The drafts on the way to the lowest peak that is reached so, found when they are first asked for. */
  readonly down: (again: Again) => readonly Draft[];
}

/** The last ways to the lowest peak that were found for a graph. */
const lastWays = perObject((_: PlanProblem["graph"]): { known?: Ways } => ({}));

/** The ways to the lowest peak, the same for every budget: those of the same step and times are found once. */
function waysDown(problem: PlanProblem): Ways {
  const last = lastWays(problem.graph);
  const { nodeMs, rows } = problem;
  const limits = limitsKey(problem);
  const isSame = last.known?.limits === limits && last.known.rows === rows;
  if (last.known && isSame && last.known.nodeMs.every((ms, rank) => ms === nodeMs[rank])) return last.known;
  const drafts = new Drafts(problem);
  const found = new Map<Again, readonly Draft[]>();
  const down = (again: Again): readonly Draft[] => {
    const way = found.get(again) ?? new Descent(drafts, 0, again).run();
    found.set(again, way);
    return way;
  };
  last.known = { nodeMs, rows, limits, drafts, down };
  return last.known;
}

/**
 * μ-TWO's scheduling policy for one model. Mended (default): ways down to the budget and to the lowest peak there is; of
 * all drafts on them that fit the fastest, without what it can do without. What is made again is held, and alone where
 * no such draft fits, or the least peak is asked for. Printed: the paper's own.
 */
export const mutwo: Planner = (problem) => {
  if (problem.variant === "printed") return mutwoPrinted(problem);
  const { drafts, down } = waysDown(problem);
  const plan = (...kinds: readonly Again[]): ReturnType<Planner> => {
    const all = kinds.flatMap(down);
    const lowest = all.reduce((least, { peakBytes }) => Math.min(least, peakBytes), Number.POSITIVE_INFINITY);
    const known = [...all];
    const fastestWithin = (goalBytes: number): Draft | undefined => {
      const [first, ...others] = known.filter(({ peakBytes }) => peakBytes <= goalBytes);
      return first && others.reduce((a, z) => (z.totalMs < a.totalMs ? z : a), first);
    };
    let isNew = true;
    const within = (goalBytes: number): Draft | undefined => {
      if (goalBytes < hopeless * lowest) return undefined;
      // a goal that is lowered a little is met by what was found for the budget, if that went on below it
      if (isNew || !fastestWithin(goalBytes))
        for (const again of kinds) known.push(...new Descent(drafts, goalBytes, again).run());
      isNew = false;
      const fastest = fastestWithin(goalBytes);
      const best = fastest && lean(drafts, fastest, goalBytes);
      return best && drafts.isAdmissible(problem, best) ? best : undefined;
    };
    return drafts.plan(problem, within, all);
  };
  const held = problem.budgetBytes === null ? undefined : plan("hold");
  return held?.feasible ? held : plan("hold", "recompute");
};
