import { defaultBoundMs, startBound } from "../plan/bound.js";
import type { Plan, PlanProblem } from "../plan/plan.js";
import { planGraph, plannerNames } from "../plan/planners/index.js";

/** One plan of a sweep over budgets: what it needs, and what it costs. */
export interface TradeoffPoint {
  readonly planner: string;
  /** null for planners that plan for no budget. */
  readonly budgetBytes: number | null;
  /** Predicted peak: the arena by static layout. */
  readonly peakBytes: number;
  /** Host memory that swapped activations need. */
  readonly hostBytes: number;
  /** Predicted time that the plan adds to the step, ms. */
  readonly addedMs: number;
  /** What is proven for the budget: no plan that fits it by the timeline adds less time, ms; absent where nothing is. */
  readonly boundMs?: number;
  /** Whether it counts copies that nobody measured. */
  readonly copiesSimulated: boolean;
}

/** Budgets of a sweep, both ends among them. */
const budgets = 20;
/** The budget that is asked for first, where searches look hardest, as a share of the unplanned arena. */
const firstShare = 0.6;
/** How long is looked for the bound of each budget, as a share of the time limit of a search. */
const boundShare = 0.2;
/** A solver that was given some time needs a little more to begin and to end, ms. */
const graceMs = 1000;

/**
 * The plans of every planner that takes a budget without solving a program for it, in steps of the same size from the unplanned
 * arena to the least peak that any of them reaches; each planner's least peak is among its points, what does not fit is
 * not. Planners without a budget have one point. With the bound of each budget, where one is proven in the time for it.
 * Parameters and states of the optimizer stay on the device.
 */
export function tradeoffOf(given: PlanProblem): TradeoffPoint[] {
  const problem = { ...given, constraints: { ...given.constraints, states: false } };
  const unplanned = planGraph({ ...problem, planner: "keepAll", budgetBytes: null }).peakBytes;
  const simulated = new Set(problem.rows.filter(({ swapMeasured }) => !swapMeasured).map(({ name }) => name));
  const planned = (planner: string, budgetBytes: number | null): TradeoffPoint[] => {
    const plan = planGraph({ ...problem, planner, budgetBytes });
    return plan.feasible ? [pointOf(plan, simulated)] : [];
  };
  const first = Math.round(firstShare * unplanned);
  const searching = plannerNames("every budget").map((planner) => ({
    planner,
    least: planGraph({ ...problem, planner, budgetBytes: first }).minimumPeakBytes,
  }));
  const fixed = plannerNames("one plan").flatMap((planner) => planned(planner, null));
  const least = Math.min(unplanned, ...searching.map((one) => one.least), ...fixed.map((one) => one.peakBytes));
  const grid = Array.from({ length: budgets }, (_, i) =>
    Math.round(unplanned - (i * (unplanned - least)) / (budgets - 1)),
  );
  const bounds = new Map([...new Set(grid)].map((bytes) => [bytes, boundMsOf({ ...problem, budgetBytes: bytes })]));
  const points = searching.flatMap((one) =>
    [...new Set([...grid.filter((bytes) => bytes > one.least), one.least])].flatMap((bytes) =>
      planned(one.planner, bytes).map((point): TradeoffPoint => ({ ...point, ...bounds.get(bytes) })),
    ),
  );
  const all = [...points, ...fixed];
  return all.map((point) => (point.planner === defaultPlanner ? fastestWithin(point, all) : point));
}

/** The planner that is never worse than another one. */
const defaultPlanner = "best";

/** A point of the search over all plans, or the plan of another planner or budget that fits its budget too and is faster. */
function fastestWithin(point: TradeoffPoint, all: readonly TradeoffPoint[]): TradeoffPoint {
  const { planner, budgetBytes, boundMs } = point;
  const fitting = all.filter(({ peakBytes }) => peakBytes <= (budgetBytes ?? 0));
  const fastest = fitting.reduce((a, z) => (z.addedMs < a.addedMs ? z : a), point);
  return fastest === point
    ? point
    : { ...fastest, planner, budgetBytes, ...(boundMs === undefined ? {} : { boundMs }) };
}

/** The bound that is proven for a problem's budget; empty where none is. */
function boundMsOf(problem: PlanProblem): Pick<TradeoffPoint, "boundMs"> {
  const timeLimitMs = boundShare * (problem.effort?.timeLimitMs ?? defaultBoundMs);
  const bound = startBound(problem, { timeLimitMs }).collect(timeLimitMs + graceMs);
  return bound && Number.isFinite(bound.addedMs) ? { boundMs: bound.addedMs } : {};
}

/**
 * The bound that is proven for each budget, by falling budget: its own, or that of a larger one, which
 * holds for less memory too. Empty where nothing is proven.
 */
export function boundsOf(points: readonly TradeoffPoint[]): { budgetBytes: number; boundMs: number }[] {
  if (points.every((point) => point.boundMs === undefined)) return [];
  const budgets = [...new Set(points.map(({ budgetBytes }) => budgetBytes))].filter((bytes) => bytes !== null);
  let boundMs = 0;
  return budgets
    .sort((a, z) => z - a)
    .map((budgetBytes) => {
      const own = points.filter((point) => point.budgetBytes === budgetBytes).map((point) => point.boundMs ?? 0);
      boundMs = Math.max(boundMs, ...own);
      return { budgetBytes, boundMs };
    });
}

const pointOf = (plan: Plan, simulated: ReadonlySet<string>): TradeoffPoint => ({
  planner: plan.planner,
  budgetBytes: plan.budgetBytes,
  peakBytes: plan.peakBytes,
  hostBytes: plan.hostBytes ?? 0,
  addedMs: plan.addedMs,
  copiesSimulated: plan.decisions.some(({ action, activation }) => action === "swap" && simulated.has(activation)),
});

/** The points that no other one beats in both peak and time, by falling peak and rising time. */
export function frontier(points: readonly TradeoffPoint[]): TradeoffPoint[] {
  const order = [...points].sort((a, z) => a.peakBytes - z.peakBytes || a.addedMs - z.addedMs);
  let fastest = Number.POSITIVE_INFINITY;
  const front = order.filter(({ addedMs }) => {
    if (addedMs >= fastest) return false;
    fastest = addedMs;
    return true;
  });
  return front.reverse();
}

/**
 * Where less memory begins to cost much more time: of the points that no other one beats, the one farthest below the
 * chord from the first to the last. With peak and time scaled to 0…1 over these points, x and y, the chord is
 * x + y = 1, and the distance (1 − x − y) / √2 (Satopää et al. 2011, "Kneedle"). Points that more than double the
 * step's time are left out: one that takes ten times the step would make all others look cheap. Null for fewer than
 * three points, or where none lies below the chord.
 */
export function kneeOf(points: readonly TradeoffPoint[], stepMs: number): TradeoffPoint | null {
  const front = frontier(points).filter(({ addedMs }) => addedMs <= stepMs);
  const [first, last] = [front[0], front.at(-1)];
  if (!first || !last || front.length < 3) return null;
  const below = ({ peakBytes, addedMs }: TradeoffPoint): number =>
    (1 -
      (peakBytes - last.peakBytes) / (first.peakBytes - last.peakBytes) -
      (addedMs - first.addedMs) / (last.addedMs - first.addedMs)) /
    Math.SQRT2;
  const knee = front.reduce((a, z) => (below(z) > below(a) ? z : a));
  return below(knee) > 0 ? knee : null;
}

/** The least peak that any planner reaches, in the least time. Throws if there are no points. */
export function leastPeakOf(points: readonly TradeoffPoint[]): TradeoffPoint {
  const least = frontier(points).at(-1);
  if (!least) throw new Error("no points in the trade-off");
  return least;
}
