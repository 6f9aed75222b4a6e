import type { ActivationRow } from "../memory/activation-rows.js";
import { type Accesses, activationAccesses } from "../memory/activations.js";
import type { PlanProblem } from "./plan.js";
import { alone, held, keep, swapped } from "./schedule.js";

/** Smaller activations are not worth a copy, unless there are no larger ones. */
const smallestSwapBytes = 2 ** 20;

/** A key for what planners may do, whatever the budget and the time: what is made once for a graph is made once for it. */
export const limitsKey = ({
  constraints: { keep, swap, recompute, hostBytes } = {},
  effort,
  steady,
}: PlanProblem): string => JSON.stringify([keep, swap, recompute, hostBytes, effort, steady?.key]);

/** What may be done with an activation beside keeping it. */
export interface Allowed {
  readonly recompute: boolean;
  readonly swap: boolean;
}

/**
 * What planners may do with each activation of the table. Recompute: what nothing fixes, views excepted. Swap: what is
 * idle between two nodes, in no storage that stays, and large enough to be worth a copy. Neither where the constraints
 * forbid it.
 */
export function allowedActions({ graph, rows, constraints = {} }: PlanProblem): ReadonlyMap<string, Allowed> {
  const stays = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const accesses = activationAccesses(graph);
  const kept = new Set(constraints.keep);
  const isFree = ({ name, memoryBytes }: ActivationRow): boolean => memoryBytes > 0 && !kept.has(name);
  const isIdle = ({ name, lastForwardAccess, firstBackwardAccess }: ActivationRow): boolean =>
    lastForwardAccess + 1 < firstBackwardAccess && !accesses.get(name)?.members.some((member) => stays.has(member));
  const least = rows.some((row) => row.memoryBytes >= smallestSwapBytes && isIdle(row)) ? smallestSwapBytes : 1;
  return new Map(
    rows.map((row) => [
      row.name,
      {
        recompute: constraints.recompute !== false && isFree(row) && row.fixed === null,
        swap: constraints.swap !== false && isFree(row) && row.memoryBytes >= least && isIdle(row),
      },
    ]),
  );
}

/** An activation with which more may be done than to keep it, by its place in vectors of actions. */
export interface Option {
  readonly index: number;
  readonly actions: readonly number[];
  readonly accesses: Accesses;
  readonly recomputeMs: number;
}

/** What a search may try. */
export function optionsOf(problem: PlanProblem): Option[] {
  const allowed = allowedActions(problem);
  const row = new Map(problem.rows.map((one) => [one.name, one]));
  return [...activationAccesses(problem.graph).values()].flatMap((accesses, index): Option[] => {
    const { recompute, swap } = allowed.get(accesses.name) as Allowed;
    const actions = [keep, ...(recompute ? [alone, held] : []), ...(swap ? [swapped] : [])];
    const recomputeMs = row.get(accesses.name)?.recomputeMs ?? 0;
    return actions.length > 1 ? [{ index, actions, accesses, recomputeMs }] : [];
  });
}
