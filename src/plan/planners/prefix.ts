import type { Graph, Node } from "../../graph/graph.js";
import { knownName, swappedName } from "../../graph/names.js";
import { type Layout, layout } from "../../memory/layout.js";
import { peakHolders, timeline } from "../../memory/liveness.js";
import { opOf } from "../../ops/index.js";
import { laneTime } from "../lane-time.js";
import type { Decision, Plan, PlanProblem } from "../plan.js";
import { rewrite } from "../rewrite.js";
import { type StepTime, stepTime } from "../step-time.js";
import { printedPeakBytes } from "./printed.js";

/** A decision before its effect on the whole step is known. */
export type Choice = Omit<Decision, "order" | "peakBytesAfter" | "addedMs"> & Partial<Pick<Decision, "addedMs">>;

/** The first so many choices of a planner, judged by the exact timeline of the graph that they make. */
export interface Prefix<C = Choice> {
  readonly choices: readonly C[];
  readonly peakBytes: number;
  /** Rank of the peak in the rewritten graph. */
  readonly peakRank: number;
  /** Predicted time added to the step, ms. */
  readonly addedMs: number;
  /** What of it the copies of each swapped activation cost, ms. */
  readonly copyMs: ReadonlyMap<string, number>;
  readonly graph: () => Graph;
  /** Size of the arena; laid out when first asked for. */
  readonly arenaBytes: () => number;
  /** Size of the host's arena. */
  readonly hostBytes: () => number;
}

/** Rewrites the step by some choices and simulates it, as it is executed. */
export function judge<C extends Pick<Decision, "activation" | "action" | "swap" | "held">>(
  problem: PlanProblem,
  choices: readonly C[],
): Prefix<C> {
  const { graph, nodeMs, rows, states, stateMs, steady, capacity = 1 } = problem;
  const rewritten = rewrite(graph, choices, states);
  const planned = steady?.execute(rewritten) ?? rewritten;
  const { peakBytes, peakRank } = timeline(planned);
  const ms = new Map(graph.nodes.map((node, rank) => [node.name, nodeMs[rank] as number]));
  const swapMs = new Map([
    ...(stateMs ?? []),
    ...rows.map((row) => [row.name, row.swapMs / (steady?.swapShare ?? 1)] as const),
  ]);
  const msOf = (node: Node): number =>
    opOf(node).swap
      ? (swapMs.get(swappedName(node.outputs[0] as string)) as number)
      : // what only a steady form has are copies of a few numbers, and views
        (ms.get(knownName(node.name, ms)) ?? 0);
  const time = (of: Graph): Pick<StepTime, "totalMs" | "copyMs"> =>
    capacity > 1 ? laneTime(of, msOf, capacity) : stepTime(of, msOf);
  const { totalMs, copyMs } = time(planned);
  const unplannedMs =
    capacity > 1 ? time(steady?.execute(graph) ?? graph).totalMs : nodeMs.reduce((sum, one) => sum + one, 0);
  let places: Layout | undefined;
  const laidOut = (): Layout => (places ??= layout(planned));
  return {
    choices,
    peakBytes,
    peakRank,
    addedMs: totalMs - unplannedMs,
    copyMs,
    graph: () => planned,
    arenaBytes: () => laidOut().arenaBytes,
    hostBytes: () => laidOut().hostBytes,
  };
}

/** Whether a judged plan keeps to the constraints' limits of time and host memory. */
export const isAdmissible = ({ constraints = {} }: PlanProblem, { addedMs, hostBytes }: Prefix<unknown>): boolean =>
  addedMs <= (constraints.maxAddedMs ?? Number.POSITIVE_INFINITY) &&
  (constraints.hostBytes === undefined || hostBytes() <= constraints.hostBytes);

/** Whether it also fits the budget, if there is one. */
export const meets = (problem: PlanProblem, prefix: Prefix<unknown>): boolean =>
  isAdmissible(problem, prefix) &&
  (problem.budgetBytes === null ||
    (prefix.peakBytes <= problem.budgetBytes && prefix.arenaBytes() <= problem.budgetBytes));

/** The plan that a sequence of prefixes comes to; `best` is the one to ship. */
export function planOf(
  problem: PlanProblem,
  prefixes: readonly Pick<Prefix, "peakBytes" | "addedMs">[],
  best: Prefix,
  feasible: boolean,
  minimumPeakBytes: number,
): Omit<Plan, "planner" | "planningMs" | "constraints"> {
  const decisions = best.choices.map((choice, order): Decision => {
    const [before, after] = [prefixes[order], prefixes[order + 1]];
    return {
      addedMs: (after?.addedMs ?? best.addedMs) - (before?.addedMs ?? 0),
      ...choice,
      order,
      peakBytesAfter: after?.peakBytes ?? best.peakBytes,
    };
  });
  const planned = best.graph();
  const node = planned.nodes[best.peakRank];
  return {
    budgetBytes: problem.budgetBytes,
    feasible,
    decisions,
    kept: problem.rows.length - decisions.length,
    peakBytes: best.arenaBytes(),
    timelinePeakBytes: best.peakBytes,
    hostBytes: best.hostBytes(),
    printedPeakBytes: printedPeakBytes(problem, decisions),
    addedMs: best.addedMs,
    minimumPeakBytes,
    obstacle:
      feasible || !node
        ? null
        : {
            node: node.name,
            holders: peakHolders(planned, best.peakRank)
              .slice(0, 5)
              .map(({ name, bytes }) => ({ name, bytes })),
          },
  };
}
