import { Evaluator } from "./evaluator.js";
import type { Plan, PlanProblem } from "./plan.js";
import { PlanProgram } from "./program.js";
import { type Solving, startSolve } from "./solver.js";

/** How long is looked for a bound if nothing else is said, ms. */
export const defaultBoundMs = 10_000;

/** A lower bound on the time that any plan adds that fits the budget by the timeline. */
export interface Bound {
  /** ms; infinite if no plan fits. */
  readonly addedMs: number;
  /** `time limit`: a longer search may find a greater bound. */
  readonly proven: "optimal" | "time limit";
  /** Actions that cost just the bound, as far as the program sees; their blocks may need more memory than there is. */
  readonly actions: Uint8Array | undefined;
}

/** A bound that is being computed in another process. */
export interface Bounding {
  /** The bound, waited for so many ms at most; undefined if nothing is known by then, or HiGHS is not there. */
  collect(waitMs: number): Bound | undefined;
}

/** The solver's tolerances, as a share of the step: so much is taken off a bound. */
const tolerance = 1e-6;

/** A row's evaluator, for those that have none yet. */
const evaluatorOf = ({ graph, nodeMs, rows }: PlanProblem): Evaluator =>
  new Evaluator(
    graph,
    nodeMs,
    rows.map(({ swapMs }) => swapMs),
  );

/**
 * Starts to compute the bound for a problem's budget beside this process, for so long as its effort says. `budgetAt`
 * asks for less than the budget at some nodes: then the actions are what is wanted, and the bound is none.
 */
export function startBound(
  problem: PlanProblem,
  {
    evaluator = evaluatorOf(problem),
    timeLimitMs = problem.effort?.timeLimitMs ?? defaultBoundMs,
    budgetAt,
  }: {
    readonly evaluator?: Evaluator;
    readonly timeLimitMs?: number;
    readonly budgetAt?: (rank: number) => number;
  } = {},
): Bounding {
  const program = new PlanProgram(problem, evaluator, budgetAt);
  if (program.isEmpty) {
    const actions = new Uint8Array(evaluator.graph.activations.length);
    return { collect: () => ({ addedMs: 0, proven: "optimal", actions }) };
  }
  const solving = startSolve(program, timeLimitMs);
  return { collect: (waitMs) => collected(program, solving, waitMs, problem) };
}

function collected(program: PlanProgram, solving: Solving, waitMs: number, problem: PlanProblem): Bound | undefined {
  const solved = solving.collect(waitMs);
  if (!solved) return undefined;
  const { status, bound, values } = solved;
  if (status === "infeasible") return { addedMs: Number.POSITIVE_INFINITY, proven: "optimal", actions: undefined };
  if (bound === null) return undefined;
  const slack = tolerance * problem.nodeMs.reduce((sum, ms) => sum + ms, 0);
  return {
    addedMs: Math.max(0, program.toMs(bound) - slack),
    proven: status === "optimal" ? "optimal" : "time limit",
    actions: values ? program.actionsOf(values) : undefined,
  };
}

/** What a plan says of a bound; nothing where there is none. */
export const boundOf = (bound: Bound | undefined): Pick<Plan, "bound"> =>
  bound && Number.isFinite(bound.addedMs)
    ? { bound: { addedMs: bound.addedMs, proven: bound.proven === "optimal" } }
    : {};
