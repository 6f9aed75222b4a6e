import { formatBytes, formatMs } from "../../format.js";
import { perObject } from "../../graph/memo.js";
import { knownName } from "../../graph/names.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { limitsKey } from "../allowed.js";
import { type Bound, boundOf, startBound } from "../bound.js";
import type { Compiled } from "../compiled.js";
import type { Evaluator } from "../evaluator.js";
import type { Evaluation, Front, Point } from "../front.js";
import { pcieLink } from "../link.js";
import type { Effort, Plan, Planner, PlanProblem, SwapPlacement } from "../plan.js";
import { rewrite } from "../rewrite.js";
import { alone, held, keep, swapped } from "../schedule.js";
import { Search } from "../search.js";
import { swapPlacement } from "../swap-placement.js";
import { mutwo } from "./mutwo.js";
import { type Choice, judge, meets, type Prefix, planOf } from "./prefix.js";

/** How long a search is: as much as takes some ten seconds on models of a thousand nodes, and no longer on larger ones. */
export const defaultEffort: Effort = { moves: 30_000, seed: 1, timeLimitMs: 10_000 };
/** Shares of the time that the search and the bound beside it take; the rest is for laying out what was found. */
const [searchShare, boundShare] = [0.75, 0.4];
/** In a large step what is found takes about as long to be laid out and told as to be found. */
const largeShare = 0.4;
/** Larger steps are planned without μ-TWO's plan beside, which would take longer than the search. */
const mostMutwoNodes = 5000;
const isLarge = ({ graph }: PlanProblem): boolean => graph.nodes.length > mostMutwoNodes;
/** Arenas of up to so many times the least one are at the end of the front: there so many plans of μ-TWO stand beside it. */
const [lowZone, lowGoals] = [1.1, 8];
/** How many decisions of a plan are measured one by one: as many as take a second or so. */
const mostMeasured = ({ graph }: PlanProblem): number => Math.max(50, Math.floor(1e6 / graph.nodes.length));
/** Points of the front that are laid out to find the least arena. */
const leastPoints = 5;

type Planned = ReturnType<Planner>;

/** A search with what it found. */
export interface Searched {
  readonly search: Search;
  readonly front: Front;
}

interface Found extends Searched {
  readonly nodeMs: readonly number[];
  readonly limits: string;
  /** The budget that the search looked hardest at, and its bound. */
  readonly budgetBytes: number | null;
  readonly bound: Bound | undefined;
  /** What `mutwo` plans for that budget. */
  readonly other: Planned | undefined;
  /** What it plans where the search reaches no lower, made when that is first asked for. */
  low?: readonly Planned[];
}

/** The search of a graph: run once, whatever the budget. */
const lastSearch = perObject((_: PlanProblem["graph"]): { known?: Found } => ({}));

/** The search of a problem's graph, run if that was not done for the same times and limits. */
export function frontOf(problem: PlanProblem): Found {
  const last = lastSearch(problem.graph);
  const { known } = last;
  const { nodeMs, budgetBytes } = problem;
  const limits = limitsKey(problem);
  if (known?.limits === limits && known.nodeMs.every((ms, i) => ms === nodeMs[i])) return known;
  const effort = { ...defaultEffort, ...problem.effort };
  const share = isLarge(problem) ? largeShare : searchShare;
  const search = new Search(problem, { ...effort, timeLimitMs: share * effort.timeLimitMs });
  const boundMs = Math.min(share, boundShare) * effort.timeLimitMs;
  const bounding =
    budgetBytes === null ? undefined : startBound(problem, { evaluator: search.evaluator, timeLimitMs: boundMs });
  let bound: Bound | undefined;
  const began = performance.now();
  const other = budgetBytes === null || isLarge(problem) ? undefined : mutwo(problem);
  const front = search.run(() => {
    bound = bounding?.collect(Math.max(0, began + boundMs - performance.now()));
    const others = other ? [actionsOf(other, search.evaluator.graph)] : [];
    return bound?.actions ? [bound.actions, ...others] : others;
  });
  last.known = { nodeMs, limits, budgetBytes, bound, other, search, front };
  return last.known;
}

/** The decisions that a point stands for, in schedule order, with what each frees. */
export function choicesOf(
  { graph, nodeMs, rows, steady }: PlanProblem,
  { graph: { activations } }: Evaluator,
  point: Pick<Point, "actions">,
): Choice[] {
  const row = new Map(rows.map((one) => [one.name, one]));
  const taken = activations.flatMap((name, index) => {
    const action = point.actions[index];
    return action === keep ? [] : [{ row: row.get(name) as ActivationRow, action }];
  });
  const again = taken
    .filter(({ action }) => action !== swapped)
    .map(({ row: { name }, action }) => ({
      activation: name,
      action: "recompute" as const,
      ...(action === held ? { held: true as const } : {}),
    }));
  const before = rewrite(graph, again);
  const ms = new Map(graph.nodes.map((node, rank) => [node.name, nodeMs[rank] as number]));
  const placements = swapPlacement(
    before,
    before.nodes.map(({ name }) => ms.get(knownName(name, ms)) as number),
    new Map(taken.filter(({ action }) => action === swapped).map(({ row: { name, swapMs } }) => [name, swapMs])),
    pcieLink,
    undefined,
    steady && graph.nodes[steady.join]?.name,
  );
  return taken.map(({ row, action }): Choice => {
    const { name, memoryBytes, recomputeRatio, recomputeMs, inactiveMs, swapMs, swapMeasured } = row;
    const facts = { activation: name, savedBytes: memoryBytes, recomputeRatio, inactiveMs };
    const freed = `${formatBytes(memoryBytes)} are free for ${formatMs(inactiveMs)}`;
    if (action === swapped) {
      const swap = placements.get(name) as SwapPlacement;
      const copies = `two copies of ${formatMs(swapMs)} (${swapMeasured ? "measured" : "simulated"}) beside other nodes, away before ${swap.outDone}, back from ${swap.prefetch} on`;
      return { ...facts, action: "swap", swap, why: `${freed}: ${copies}` };
    }
    const how =
      action === alone
        ? `made again in ${formatMs(recomputeMs)} right before its first backward use`
        : `made again in ${formatMs(recomputeMs)} by the first block that needs it, and kept for those after it`;
    return {
      ...facts,
      action: "recompute",
      ...(action === held ? { held: true as const } : {}),
      why: `${freed}: ${how}`,
    };
  });
}

/** The choices of a point, the largest of them with what each costs. */
function pricedOf(problem: PlanProblem, evaluator: Evaluator, point: Point, choices: readonly Choice[]): Choice[] {
  const largest = [...choices].sort((a, z) => z.savedBytes - a.savedBytes).slice(0, mostMeasured(problem));
  const told = new Set(largest);
  const index = new Map(evaluator.graph.activations.map((name, i) => [name, i]));
  const without = ({ activation }: Choice): Evaluation => {
    const actions = point.actions.slice();
    actions[index.get(activation) as number] = keep;
    return evaluator.evaluate(actions);
  };
  return choices.map((one) => (told.has(one) ? { ...one, why: `${one.why}; ${priceOf(point, without(one))}` } : one));
}

/** What dropping a decision would come to. */
function priceOf(point: Point, other: Evaluation): string {
  const faster = point.totalMs - other.totalMs;
  return `without this the peak is ${formatBytes(other.peakBytes)} and the step ${formatMs(Math.abs(faster))} ${faster >= 0 ? "faster" : "slower"}`;
}

/** What the plan has come to after each decision, as far as the evaluator sees it. */
function steps(
  problem: PlanProblem,
  { evaluator }: Search,
  { actions }: Point,
): Pick<Prefix, "peakBytes" | "addedMs">[] {
  const sofar = new Uint8Array(actions.length);
  const measure = () => {
    const { peakBytes, totalMs } = evaluator.evaluate(sofar);
    return { peakBytes, addedMs: totalMs - problem.nodeMs.reduce((sum, ms) => sum + ms, 0) };
  };
  const found = [measure()];
  const taken = [...actions.keys()].filter((index) => actions[index] !== keep);
  const every = Math.ceil(taken.length / mostMeasured(problem));
  taken.forEach((index, count) => {
    sofar[index] = actions[index] as number;
    const isMeasured = (count + 1) % every === 0 || count + 1 === taken.length;
    found.push(isMeasured ? measure() : (found.at(-1) as (typeof found)[number]));
  });
  return found;
}

/**
 * What `mutwo` plans from its least peak to a little more than the least arena that the search has found, where the search
 * finds dear plans or none. What is faster than the answer for the search's own budget, and fits it, would have been
 * that answer: it is left out, so that less memory never takes less time.
 */
function lowPlans(problem: PlanProblem, found: Found, leastBytes: number): readonly Planned[] {
  const { maxAddedMs: _, ...constraints } = problem.constraints ?? {};
  const planned = (budgetBytes: number): Planned => mutwo({ ...problem, constraints, budgetBytes });
  const lowest = planned(1);
  const size = (lowZone * leastBytes - lowest.peakBytes) / lowGoals;
  const goals = size > 0 ? Array.from({ length: lowGoals }, (_, i) => lowest.peakBytes + (i + 1) * size) : [];
  const plans = [lowest, ...goals.map((goal) => planned(Math.floor(goal)))];
  const first = found.budgetBytes;
  if (first === null) return plans;
  const own = planOfFront({ ...problem, constraints, budgetBytes: first }, found);
  if (!own.feasible) return plans;
  const isOther = found.other?.feasible && found.other.addedMs < own.addedMs;
  const firstMs = isOther ? (found.other as Planned).addedMs : own.addedMs;
  return plans.filter(({ peakBytes, addedMs }) => peakBytes > first || addedMs >= firstMs);
}

/**
 * The best plan that a search over keep, recompute, recompute and hold, and swap finds for the budget: of all that were
 * tried (search.ts), the fastest whose arena fits; without a budget the least arena within the time that may be added.
 * A graph is searched once, hardest near the budget that is asked for first, with the set of the program behind the
 * bound and the plan of `mutwo` among the starts, and never dearer than the latter there. All budgets are answered from
 * what was found for the first: so a smaller one never gets a higher peak, nor less time.
 */
export const best: Planner = (problem) => {
  const { budgetBytes, constraints = {} } = problem;
  const found = frontOf(problem);
  const own = planOfFront(problem, found);
  if (budgetBytes === null) return own;
  const others = found.other ? [found.other] : [];
  if (isLarge(problem)) {
    // what takes long is asked for this budget only
    if (!own.feasible) others.push(mutwo(problem));
  } else if (!own.feasible || budgetBytes !== found.budgetBytes) {
    found.low ??= lowPlans(problem, found, own.minimumPeakBytes);
    others.push(...found.low);
  }
  const { maxAddedMs = Number.POSITIVE_INFINITY, hostBytes = Number.POSITIVE_INFINITY } = constraints;
  const fitting = others.filter(
    (one) => one.peakBytes <= budgetBytes && one.addedMs <= maxAddedMs && (one.hostBytes ?? 0) <= hostBytes,
  );
  const faster = (a: Planned, z: Planned): Planned => (z.addedMs < a.addedMs ? z : a);
  const [first, ...rest] = own.feasible ? [own, ...fitting] : fitting;
  const chosen = first
    ? { ...rest.reduce(faster, first), feasible: true, obstacle: null }
    : others.reduce((a, z) => (z.peakBytes < a.peakBytes ? z : a), own);
  return {
    ...chosen,
    budgetBytes,
    minimumPeakBytes: Math.min(own.minimumPeakBytes, ...others.map((other) => other.minimumPeakBytes)),
    ...(found.budgetBytes === budgetBytes ? boundOf(found.bound) : {}),
  };
};

/** A plan's decisions as a vector of actions. */
function actionsOf({ decisions }: Pick<Plan, "decisions">, { activations }: Compiled): Uint8Array {
  const action = new Map(
    decisions.map((one) => [one.activation, one.action === "swap" ? swapped : one.held ? held : alone]),
  );
  return Uint8Array.from(activations, (name) => action.get(name) ?? keep);
}

/** The plan of the fastest point of a front whose arena fits; of the least arena if none does, or no budget is given. */
export function planOfFront(problem: PlanProblem, { search, front }: Searched): ReturnType<Planner> {
  const { budgetBytes } = problem;
  const judged = new Map<Point, Prefix>();
  const judgeOf = (point: Point): Prefix => {
    const known = judged.get(point) ?? judge(problem, choicesOf(problem, search.evaluator, point));
    judged.set(point, known);
    return known;
  };
  // lowest timeline first: no arena is smaller than its timeline
  const least = (points: readonly Point[]): Point | undefined =>
    points
      .slice(0, leastPoints)
      .reduce<Point | undefined>(
        (a, z) =>
          a && (judgeOf(a).arenaBytes() <= z.peakBytes || judgeOf(a).arenaBytes() <= judgeOf(z).arenaBytes()) ? a : z,
        undefined,
      );
  const baseMs = problem.nodeMs.reduce((sum, ms) => sum + ms, 0);
  const most = baseMs + (problem.constraints?.maxAddedMs ?? Number.POSITIVE_INFINITY);
  const admissible = front.points.filter(({ totalMs }) => totalMs <= most);
  const smallest = least(admissible) ?? (least(front.points) as Point);
  const fits =
    budgetBytes === null
      ? smallest
      : admissible.findLast((point) => point.peakBytes <= budgetBytes && meets(problem, judgeOf(point)));
  const point = fits ?? smallest;
  const prefix = judgeOf(point);
  return planOf(
    problem,
    steps(problem, search, point),
    { ...prefix, choices: pricedOf(problem, search.evaluator, point, prefix.choices) },
    fits !== undefined,
    judgeOf(smallest).arenaBytes(),
  );
}
