import { formatBytes, formatMs } from "../../format.js";
import { isForward } from "../../graph/graph.js";
import { knownName } from "../../graph/names.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { type Accesses, activationAccesses } from "../../memory/activations.js";
import { timeline } from "../../memory/liveness.js";
import { peakInterval } from "../../memory/peak-interval.js";
import { allowedActions } from "../allowed.js";
import { missingBudget } from "../budget.js";
import type { Planner, PlanProblem, SwapPlacement } from "../plan.js";
import { rewrite } from "../rewrite.js";
import { outgoing } from "../swap.js";
import { Drafts } from "./drafts.js";
import { bestOf, type Candidate, candidateOf, Lineage } from "./lineage.js";
import { type Choice, judge, meets, planOf } from "./prefix.js";
import { PrintedMemory } from "./printed.js";
import { type Prompt, type SwapOverhead, swapOverhead } from "./swap-overhead.js";

/** A decision of the printed algorithm; `prompt` is the rank at which a swap's copy back begins. */
interface Step {
  readonly row: ActivationRow;
  readonly ratio: number;
  readonly why: string;
  prompt?: number;
}

/** μ-TWO's Algorithm B to the letter: its own estimates and its own memory simulation decide. */
class PrintedPolicy {
  readonly steps: Step[] = [];
  private readonly candidates: Map<string, Candidate>;
  private readonly rows: ReadonlyMap<string, ActivationRow>;
  private readonly lineage: Lineage;
  private readonly memory: PrintedMemory;
  private readonly recomputeMs: Float64Array;
  private readonly timetable: Parameters<typeof swapOverhead>[3];
  private readonly end: Prompt;
  private last: Prompt;

  constructor(
    private readonly problem: PlanProblem,
    private readonly limitBytes: number,
  ) {
    const { graph, nodeMs, rows } = problem;
    const allowed = allowedActions(problem);
    const free = rows.filter(({ name }) => allowed.get(name)?.recompute || allowed.get(name)?.swap);
    this.rows = new Map(free.map((row) => [row.name, row]));
    this.candidates = new Map(free.map((row) => [row.name, candidateOf(row)]));
    this.lineage = new Lineage(this.candidates, "printed");
    this.memory = new PrintedMemory(problem);
    this.recomputeMs = new Float64Array(graph.nodes.length);
    this.timetable = {
      nodeMs,
      recomputeMs: this.recomputeMs,
      firstBackward: graph.nodes.findIndex(({ phase }) => !isForward(phase)),
      peakEnd: (peakInterval(timeline(graph).totalBytes, limitBytes)?.last ?? -1) + 1,
    };
    this.end = { rank: graph.nodes.length - 1, ms: 0 };
    this.last = this.end;
  }

  run(): void {
    const allowed = allowedActions(this.problem);
    while (this.candidates.size && this.memory.peakBytes() > this.limitBytes) {
      const idle = [...this.candidates.keys()].filter((name) => allowed.get(name)?.swap);
      const longest = idle.reduce<ActivationRow | undefined>((a, name) => {
        const z = this.rows.get(name) as ActivationRow;
        return a && a.inactiveMs >= z.inactiveMs ? a : z;
      }, undefined);
      const best = bestOf([...this.candidates.values()].filter(({ row }) => allowed.get(row.name)?.recompute));
      const swap = longest && swapOverhead(longest, longest.firstBackwardAccess, this.last, this.timetable);
      if (longest && swap && !(best && swap.overheadMs >= best.totalMs)) this.swap(longest, swap);
      else if (best) this.recompute(best, longest && swap);
      this.updateSwapPrompts();
    }
  }

  private swap(row: ActivationRow, { overheadMs, prompt, case: which }: SwapOverhead): void {
    const candidate = this.candidates.get(row.name) as Candidate;
    this.memory.evict(row, prompt);
    this.last = { rank: prompt, ms: row.swapMs };
    const why = `idle for ${formatMs(row.inactiveMs)}, the longest: ${formatBytes(row.memoryBytes)} are free for two copies of ${formatMs(row.swapMs)} (${row.swapMeasured ? "measured" : "simulated"}), which by Algorithm C as printed cost ${formatMs(overheadMs)} (case ${which})`;
    this.steps.push({ row, ratio: candidate.ratio, why, prompt });
    this.lineage.leave(candidate);
  }

  private recompute(best: Candidate, swap: SwapOverhead | undefined): void {
    const row = this.rows.get(best.row.name) as ActivationRow;
    this.memory.evict(row);
    const other = swap ? `; a swap would cost ${formatMs(swap.overheadMs)} by Algorithm C (case ${swap.case})` : "";
    const why = `${formatBytes(row.memoryBytes)} are free for ${formatMs(best.totalMs)} of recomputation as printed, the best ratio of ${this.candidates.size} candidates${other}`;
    this.steps.push({ row, ratio: best.ratio, why });
    this.lineage.recompute(best);
  }

  /**
   * Who is recomputed takes time before its first backward use now, and needs what is swapped back before: all prompts
   * anew, those of the latest deadlines first (mutwo.md 8; the paper does not give this algorithm).
   */
  private updateSwapPrompts(): void {
    const deadlineOf = this.lineage.deadlines(this.recomputeMs);
    const deadline = ({ row }: Step): number => deadlineOf(row);
    this.last = this.end;
    const swaps = this.steps.filter(({ prompt }) => prompt !== undefined);
    for (const step of swaps.sort((a, z) => deadline(z) - deadline(a))) {
      const { prompt } = swapOverhead(step.row, deadline(step), this.last, this.timetable);
      this.memory.move(step.row, step.prompt as number, prompt);
      step.prompt = prompt;
      this.last = { rank: prompt, ms: step.row.swapMs };
    }
  }
}

/**
 * The nodes at which the printed prompts lie in the step with its recomputations, no later than the first use there. The
 * paper does not say when the memory of what leaves is free: at the first node by which the copy is complete.
 */
function placements({ graph, nodeMs }: PlanProblem, steps: readonly Step[]): Map<string, SwapPlacement> {
  const again = steps.filter(({ prompt }) => prompt === undefined);
  const planned = rewrite(
    graph,
    again.map(({ row }) => ({ activation: row.name, action: "recompute" })),
  );
  const ranks = new Map(planned.nodes.map(({ name }, rank) => [name, rank]));
  const own = new Map(graph.nodes.map(({ name }, rank) => [name, rank]));
  const begins: number[] = [];
  let now = 0;
  for (const { name } of planned.nodes) {
    begins.push(now);
    now += nodeMs[own.get(knownName(name, own)) as number] as number;
  }
  const accesses = activationAccesses(planned);
  const swaps = steps
    .filter(({ prompt }) => prompt !== undefined)
    .map(({ row, prompt }) => ({ row, prompt: prompt as number, uses: accesses.get(row.name) as Accesses }))
    .sort((a, z) => outgoing(a.uses, z.uses));
  let free = 0;
  return new Map(
    swaps.map(({ row, prompt, uses: { lastForwardAccess, firstBackwardAccess } }) => {
      const begin = ranks.get(graph.nodes[prompt]?.name ?? "") ?? firstBackwardAccess;
      const prefetch = Math.max(lastForwardAccess + 1, Math.min(begin, firstBackwardAccess));
      free = Math.max(free, begins[lastForwardAccess + 1] as number) + row.swapMs;
      let outDone = lastForwardAccess + 1;
      while (outDone < prefetch && (begins[outDone] as number) < free) outDone++;
      const nameOf = (rank: number): string => planned.nodes[rank]?.name ?? "";
      return [row.name, { outDone: nameOf(outDone), prefetch: nameOf(prefetch) }];
    }),
  );
}

/**
 * The paper to the letter: nothing but typing errors that keep it from running is mended (13.1). Algorithm G decides when
 * to stop; what the plan really needs and costs is told by the exact timeline and arena, as of all planners. Throws
 * without a budget.
 */
export const mutwoPrinted: Planner = (problem) => {
  const { budgetBytes } = problem;
  if (budgetBytes === null) throw missingBudget("mutwo, variant printed");
  const unplanned = judge(problem, []);
  const policy = new PrintedPolicy(problem, budgetBytes);
  if (!meets(problem, unplanned)) policy.run();
  const placed = placements(problem, policy.steps);
  const choices = policy.steps.map(({ row, ratio, why }): Choice => {
    const swap = placed.get(row.name);
    return {
      activation: row.name,
      ...(swap ? { action: "swap", swap } : { action: "recompute" }),
      savedBytes: row.memoryBytes,
      recomputeRatio: row.fixed === null ? ratio : null,
      inactiveMs: row.inactiveMs,
      why,
    };
  });
  const prefix = judge(problem, choices);
  // what the first so many come to, their copies no earlier than the prompts; all together exactly
  const indexOf = new Map(problem.rows.map(({ name }, index) => [name, index]));
  const prefixes = new Drafts(problem).prefixes(
    policy.steps.map(({ row, ratio, why, prompt }) => ({
      index: indexOf.get(row.name) as number,
      action: prompt === undefined ? "recompute" : "swap",
      earliest: prompt,
      ratio,
      why: () => why,
    })),
  );
  return planOf(problem, prefixes.slice(0, -1), prefix, meets(problem, prefix), prefix.arenaBytes());
};
