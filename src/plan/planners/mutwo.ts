import { formatBytes, formatMs } from "../../format.js";
import { perGraph } from "../../graph/memo.js";
import { knownName } from "../../graph/names.js";
import { type ActivationRow, ratioOf } from "../../memory/activation-rows.js";
import { allowedActions, limitsKey } from "../allowed.js";
import type { Planner, PlanProblem } from "../plan.js";
import { type Choice, isAdmissible, judge, least, meets, type Prefix, planOf } from "./prefix.js";

/** A row's recompute attributes while decisions are taken (μ-TWO's table B). */
export interface Candidate {
  readonly row: Pick<ActivationRow, "name" | "memoryBytes" | "createdRank">;
  sources: Set<string>;
  recomputeMs: number;
  totalMs: number;
  ratio: number;
}

/** Candidates with their first attributes: everything that may be recomputed. */
function candidatesOf(problem: PlanProblem): Map<string, Candidate> {
  const allowed = allowedActions(problem);
  return new Map(
    problem.rows
      .filter(({ name }) => allowed.get(name)?.recompute)
      .map((row) => [
        row.name,
        {
          row,
          sources: new Set(row.recomputeSources),
          recomputeMs: row.recomputeMs,
          totalMs: row.recomputeMs,
          ratio: ratioOf(row.memoryBytes, row.recomputeMs),
        },
      ]),
  );
}

/**
 * Algorithms E and F after `chosen` was taken: whoever needed it now starts from its sources and pays its time.
 *
 * `variant` "printed" counts a candidate's own recomputation only where the paper does; "mended" always does, as the
 * chain a→b shows: evicting a after b costs a twice (mutwo.md 13.3). The paper's interval rule is left out, because
 * blocks are independent here: a copy made for one block is never there for another.
 */
export function choose(
  chosen: Candidate,
  taken: readonly Candidate[],
  remaining: Iterable<Candidate>,
  variant: "printed" | "mended",
): void {
  const { name } = chosen.row;
  const replace = (other: Candidate): void => {
    other.sources.delete(name);
    for (const source of chosen.sources) other.sources.add(source);
    other.recomputeMs += chosen.recomputeMs;
  };
  let count = 1;
  for (const other of taken)
    if (other !== chosen && other.sources.has(name)) {
      replace(other);
      count++;
    }
  for (const other of remaining) {
    const used = other.sources.has(name);
    const isSource = chosen.sources.has(other.row.name);
    const dependents = (): number => taken.filter((rp) => rp.sources.has(other.row.name)).length;
    if (used) {
      replace(other);
      other.totalMs = other.recomputeMs * (1 + dependents());
    }
    if (isSource) other.totalMs = other.recomputeMs * (variant === "printed" ? count : 1 + dependents());
    if (used || isSource) other.ratio = ratioOf(other.row.memoryBytes, other.totalMs);
  }
}

/** Greatest ratio first; among equals the one made first, so that plans are the same every time. */
export const better = (a: Candidate, z: Candidate): boolean =>
  a.ratio > z.ratio || (a.ratio === z.ratio && a.row.createdRank < z.row.createdRank);

/** The choices for a step with certain node times: they are the same for every budget. */
interface Choices {
  readonly nodeMs: readonly number[];
  readonly limits: string;
  readonly prefixes: readonly Prefix[];
}

/** The last choices that were made for a graph. */
const lastChoices = perGraph((): { last?: Choices } => ({}));

/**
 * How many times as many nodes as the step a plan may have. In an unrolled recurrence each block runs all steps before
 * it again: freeing all of them would take the square of their number.
 */
const mostGrowth = 4;

/** All prefixes of μ-TWO's choices for a step, the empty one first; those of the same step and times are made once. */
function prefixesOf(problem: PlanProblem): readonly Prefix[] {
  const known = lastChoices(problem.graph);
  const { nodeMs } = problem;
  const limits = limitsKey(problem);
  if (known.last?.limits !== limits || !known.last.nodeMs.every((ms, rank) => ms === nodeMs[rank]))
    known.last = { nodeMs, limits, prefixes: greedy(problem) };
  return known.last.prefixes;
}

/**
 * Algorithm B, recompute only, mended (mutwo.md 13.8, 13.9): after each choice the rewritten graph is simulated
 * exactly, and only activations that are idle at its peak can be chosen next. The order of the choices does not depend
 * on the budget, so a smaller budget never gives a higher peak.
 */
function greedy(problem: PlanProblem): Prefix[] {
  const { graph, rows } = problem;
  const remaining = candidatesOf(problem);
  const row = new Map(rows.map((one) => [one.name, one]));
  const rank = new Map(graph.nodes.map((node, index) => [node.name, index]));
  const taken: Candidate[] = [];
  const choices: Choice[] = [];
  const prefixes: Prefix[] = [judge(problem, [])];
  for (;;) {
    const last = prefixes[prefixes.length - 1] as Prefix;
    if (last.graph().nodes.length > mostGrowth * graph.nodes.length) break;
    const { peak, name } = peakPlace(last, rank);
    const idle = [...remaining.values()].filter((candidate) => {
      const { lastForwardAccess, firstBackwardAccess } = row.get(candidate.row.name) as ActivationRow;
      // what a block before node r needs is back already for all that r itself reads first
      return lastForwardAccess < peak && peak < firstBackwardAccess;
    });
    const [first] = idle;
    if (!first) break;
    const best = idle.reduce((a, z) => (better(z, a) ? z : a), first);
    remaining.delete(best.row.name);
    taken.push(best);
    choices.push(choiceOf(best, row.get(best.row.name) as ActivationRow, name, idle.length));
    choose(best, taken, remaining.values(), "mended");
    prefixes.push(judge(problem, [...choices]));
  }
  return prefixes;
}

/** The choice of a candidate, with the reason: the node at the peak, and how many could have been chosen. */
const choiceOf = (best: Candidate, row: ActivationRow, peakNode: string, candidates: number): Choice => ({
  activation: row.name,
  action: "recompute",
  savedBytes: row.memoryBytes,
  recomputeRatio: best.ratio,
  inactiveMs: row.inactiveMs,
  why: `idle for ${formatMs(row.inactiveMs)} across the peak at ${peakNode}: ${formatBytes(row.memoryBytes)} are free for ${formatMs(best.totalMs)} of recomputation, the best ratio of ${candidates} candidates`,
});

/** Where in the unplanned schedule the peak of a rewritten graph lies; a block counts as the node that it stands before. */
function peakPlace(prefix: Prefix, rank: ReadonlyMap<string, number>): { peak: number; name: string } {
  const { nodes } = prefix.graph();
  const name = nodes[prefix.peakRank]?.name ?? "";
  for (let i = prefix.peakRank; i < nodes.length; i++) {
    const peak = rank.get((nodes[i] as { name: string }).name);
    if (peak !== undefined) return { peak, name: knownName(name, rank) };
  }
  return { peak: rank.size, name };
}

/** μ-TWO's scheduling policy for one model: the shortest run of choices whose arena fits the budget. */
export const mutwo: Planner = (problem) => {
  const prefixes = prefixesOf(problem);
  const admissible = prefixes.filter((prefix) => isAdmissible(problem, prefix));
  const smallest = least(admissible.length ? admissible : prefixes);
  const fits = problem.budgetBytes === null ? smallest : admissible.find((prefix) => meets(problem, prefix));
  return planOf(problem, prefixes, fits ?? smallest, fits !== undefined, smallest.arenaBytes());
};
