import { formatBytes, formatMs } from "../../format.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { activationAccesses } from "../../memory/activations.js";
import type { Planner, PlanProblem, SwapPlacement } from "../plan.js";
import { swapPlacement } from "../swap-placement.js";
import { type Choice, judge, planOf } from "./prefix.js";

/** Smaller activations are not worth a copy, unless there are no larger ones. */
const smallestBytes = 2 ** 20;

/** The activations whose memory a swap frees for a while: idle between two nodes, and in no storage that stays. */
function swappable({ graph, rows }: PlanProblem): ActivationRow[] {
  const stays = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const accesses = activationAccesses(graph);
  const able = rows.filter(
    ({ name, memoryBytes, lastForwardAccess, firstBackwardAccess }) =>
      memoryBytes > 0 &&
      lastForwardAccess + 1 < firstBackwardAccess &&
      !accesses.get(name)?.members.some((member) => stays.has(member)),
  );
  const large = able.filter((row) => row.memoryBytes >= smallestBytes);
  return large.length ? large : able;
}

/** Swaps every activation of 1 MiB and more, or every one in a small model: what offloading can reach, and its price. */
export const swapAll: Planner = (problem) => {
  const rows = swappable(problem);
  const placements = swapPlacement(problem.graph, problem.nodeMs, new Map(rows.map((row) => [row.name, row.swapMs])));
  const swaps = rows.map((row) => ({
    activation: row.name,
    action: "swap" as const,
    swap: placements.get(row.name) as SwapPlacement,
  }));
  const judged = judge(problem, swaps);
  const choices = swaps.map((swap, i): Choice => {
    const { memoryBytes, recomputeRatio, inactiveMs, swapMs, swapMeasured } = rows[i] as ActivationRow;
    const addedMs = judged.copyMs.get(swap.activation) ?? 0;
    const copies = `two copies of ${formatMs(swapMs)} (${swapMeasured ? "measured" : "simulated"})`;
    const price = `which cost ${formatMs(addedMs)}: nodes wait for them, and those beside them take longer`;
    return {
      ...swap,
      savedBytes: memoryBytes,
      recomputeRatio,
      inactiveMs,
      addedMs,
      why: `this planner swaps everything large; ${formatBytes(memoryBytes)} are free from ${swap.swap.outDone} to ${swap.swap.prefetch} for ${copies}, ${price}`,
    };
  });
  const arena = judged.arenaBytes();
  const isFeasible = problem.budgetBytes === null || arena <= problem.budgetBytes;
  return planOf(problem, [judge(problem, [])], { ...judged, choices }, isFeasible, arena);
};
