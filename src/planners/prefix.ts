import type { Graph } from "../graph.js";
import { layout } from "../layout.js";
import { peakHolders, timeline } from "../liveness.js";
import type { Decision, Plan, PlanProblem } from "../plan.js";
import { originalName, rewrite } from "../rewrite.js";
import { printedPeakBytes } from "./printed.js";

/** A decision before its effect on the whole step is known. */
export type Choice = Pick<Decision, "activation" | "savedBytes" | "recomputeRatio" | "inactiveMs" | "why">;

/** The first so many choices of a planner, judged by the exact timeline of the graph that they make. */
export interface Prefix {
  readonly choices: readonly Choice[];
  readonly peakBytes: number;
  /** Rank of the peak in the rewritten graph. */
  readonly peakRank: number;
  /** Predicted time added to the step, ms. */
  readonly addedMs: number;
  readonly graph: () => Graph;
  /** Size of the arena; laid out when first asked for. */
  readonly arenaBytes: () => number;
}

/** Rewrites the step by some choices and simulates it. */
export function judge(problem: PlanProblem, choices: readonly Choice[]): Prefix {
  const { graph, nodeMs } = problem;
  const planned = rewrite(
    graph,
    choices.map(({ activation }) => ({ activation, action: "recompute" })),
  );
  const { peakBytes, peakRank } = timeline(planned);
  const ms = new Map(graph.nodes.map((node, rank) => [node.name, nodeMs[rank] as number]));
  const total = planned.nodes.reduce((sum, { name }) => sum + (ms.get(originalName(name)) as number), 0);
  let arena: number | undefined;
  return {
    choices,
    peakBytes,
    peakRank,
    addedMs: total - nodeMs.reduce((sum, one) => sum + one, 0),
    graph: () => planned,
    arenaBytes: () => (arena ??= layout(planned).arenaBytes),
  };
}

/** The plan that a sequence of prefixes comes to; `best` is the one to ship. */
export function planOf(
  problem: PlanProblem,
  prefixes: readonly Prefix[],
  best: Prefix,
  feasible: boolean,
  minimumPeakBytes: number,
): Omit<Plan, "planner" | "planningMs"> {
  const decisions = best.choices.map((choice, order): Decision => {
    const [before, after] = [prefixes[order], prefixes[order + 1]];
    return {
      ...choice,
      action: "recompute",
      order,
      peakBytesAfter: after?.peakBytes ?? best.peakBytes,
      addedMs: (after?.addedMs ?? best.addedMs) - (before?.addedMs ?? 0),
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
    printedPeakBytes: printedPeakBytes(problem, new Set(decisions.map(({ activation }) => activation))),
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
