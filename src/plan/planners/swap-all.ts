import { formatBytes, formatMs } from "../../format.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { allowedActions } from "../allowed.js";
import type { Planner, SwapPlacement } from "../plan.js";
import { swapPlacement } from "../swap-placement.js";
import { type Choice, judge, meets, planOf } from "./prefix.js";

/** Swaps every activation of 1 MiB and more, or every one in a small model: what offloading can reach, and its price. */
export const swapAll: Planner = (problem) => {
  const allowed = allowedActions(problem);
  const rows = problem.rows.filter(({ name }) => allowed.get(name)?.swap);
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
  return planOf(problem, [judge(problem, [])], { ...judged, choices }, meets(problem, judged), judged.arenaBytes());
};
