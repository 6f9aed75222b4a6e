import { knownName } from "../../graph/names.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { type Allowed, allowedActions } from "../allowed.js";
import { Evaluator } from "../evaluator.js";
import type { Evaluation } from "../front.js";
import { pcieLink } from "../link.js";
import type { Planner, PlanProblem, SwapPlacement } from "../plan.js";
import { rewrite } from "../rewrite.js";
import { alone, held, swapped } from "../schedule.js";
import { swapPlacement } from "../swap-placement.js";
import { type Choice, judge, meets, type Prefix, planOf } from "./prefix.js";

/** One decision of a draft. */
export interface Taken {
  /** Of the activation, among the rows. */
  readonly index: number;
  readonly action: "recompute" | "hold" | "swap";
  /** For a swap: rank of the first node of the unplanned step before which the copy back may begin. */
  readonly earliest?: number;
  readonly ratio: number | null;
  /** One sentence for people. */
  readonly why: (placement?: SwapPlacement) => string;
}

/** A plan in the making: decisions in their order, and what they come to by the exact timeline. */
export interface Draft extends Evaluation {
  readonly taken: readonly Taken[];
}

/** Node visits that may be spent on one way through drafts: some tenths of a second. */
const mostVisits = 4e5;
/** How many drafts that may be, at least and at most. */
const [fewestSteps, mostSteps] = [40, 400];
/** Drafts with the lowest timelines that are laid out to find the least arena, and the share of it that one must gain. */
const [leastDrafts, leastGain] = [2, 0.002];
/** How often a goal is lowered by what layouts waste. */
const mostLayouts = 6;

const numbers = { recompute: alone, hold: held, swap: swapped } as const;

/** Evaluates drafts for one step, whatever the budget, and makes the plan of the one that fits. */
export class Drafts {
  readonly rows: readonly ActivationRow[];
  readonly allowed: readonly Allowed[];
  readonly empty: Draft;
  /** How many drafts one way down may try: as many for a large step as take about as long. */
  readonly steps: number;
  private readonly evaluator: Evaluator;
  private readonly actions: Uint8Array;
  private readonly earliest: Int32Array;
  private readonly judged = new WeakMap<Draft, Prefix>();

  constructor(private readonly problem: PlanProblem) {
    const { graph, nodeMs, rows } = problem;
    this.evaluator = new Evaluator(
      graph,
      nodeMs,
      rows.map(({ swapMs }) => swapMs),
      undefined,
      problem.steady,
    );
    const allowed = allowedActions(problem);
    this.rows = rows;
    this.allowed = rows.map(({ name }) => allowed.get(name) as Allowed);
    this.actions = new Uint8Array(rows.length);
    this.earliest = new Int32Array(rows.length);
    this.steps = Math.ceil(Math.min(mostSteps, Math.max(fewestSteps, mostVisits / graph.nodes.length)));
    this.empty = this.draft([]);
  }

  draft(taken: readonly Taken[]): Draft {
    this.actions.fill(0);
    for (const { index, action, earliest = 0 } of taken) {
      this.actions[index] = numbers[action];
      this.earliest[index] = earliest;
    }
    return { taken, ...this.evaluator.evaluate(this.actions, this.earliest) };
  }

  get mostHostBytes(): number {
    return this.problem.constraints?.hostBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Whether plans are executed in another order than that of the graph. */
  get isSteady(): boolean {
    return this.problem.steady !== undefined;
  }

  nodeName(rank: number): string {
    return this.problem.graph.nodes[rank]?.name ?? "";
  }

  /** Whether a draft keeps to the limits of time and host memory. */
  isAdmissible({ constraints = {} }: PlanProblem, { totalMs, hostBytes }: Draft): boolean {
    const { maxAddedMs = Number.POSITIVE_INFINITY, hostBytes: most = Number.POSITIVE_INFINITY } = constraints;
    return totalMs - this.empty.totalMs <= maxAddedMs && hostBytes <= most;
  }

  /** A draft with its copies placed, judged by the exact timeline and arena. */
  judge({ taken }: Draft): Prefix {
    const { graph, nodeMs, steady } = this.problem;
    const nameOf = ({ index }: Taken): string => (this.rows[index] as ActivationRow).name;
    const action = (one: Taken): Pick<Choice, "action" | "held"> =>
      one.action === "hold" ? { action: "recompute", held: true } : { action: one.action };
    const swaps = taken.filter((one) => one.action === "swap");
    const recomputing = rewrite(
      graph,
      taken.filter((one) => one.action !== "swap").map((one) => ({ activation: nameOf(one), ...action(one) })),
    );
    const rank = new Map(graph.nodes.map(({ name }, i) => [name, i]));
    // by rank of the unplanned step: the first node there that is not before it; copies before a node count as that node
    const first = new Int32Array(graph.nodes.length + 1);
    recomputing.nodes.forEach(({ name }, at) => {
      const own = rank.get(name);
      if (own !== undefined) first[own + 1] = at + 1;
    });
    for (let i = 1; i < first.length; i++) first[i] = Math.max(first[i] as number, first[i - 1] as number);
    const placements = swapPlacement(
      recomputing,
      recomputing.nodes.map(({ name }) => nodeMs[rank.get(knownName(name, rank)) as number] as number),
      new Map(swaps.map((one) => [nameOf(one), (this.rows[one.index] as ActivationRow).swapMs])),
      pcieLink,
      new Map(swaps.map((one) => [nameOf(one), first[one.earliest ?? 0] as number])),
      steady && this.nodeName(steady.join),
    );
    return judge(
      this.problem,
      taken.map((one): Choice => {
        const { name, memoryBytes, inactiveMs } = this.rows[one.index] as ActivationRow;
        const swap = placements.get(name);
        return {
          activation: name,
          ...action(one),
          ...(swap ? { swap } : {}),
          savedBytes: memoryBytes,
          recomputeRatio: one.ratio,
          inactiveMs,
          why: one.why(swap),
        };
      }),
    );
  }

  /** What the first so many decisions come to; of a long plan not each is told from those beside it. */
  prefixes(taken: readonly Taken[]): Pick<Prefix, "peakBytes" | "addedMs">[] {
    const every = Math.ceil(taken.length / this.steps);
    let last = this.empty;
    return Array.from({ length: taken.length + 1 }, (_, count) => {
      if (count && (count % every === 0 || count === taken.length)) last = this.draft(taken.slice(0, count));
      return { peakBytes: last.peakBytes, addedMs: last.totalMs - this.empty.totalMs };
    });
  }

  /** A draft that counts for every budget: judged once. */
  private judgeOnce(draft: Draft): Prefix {
    const known = this.judged.get(draft) ?? this.judge(draft);
    this.judged.set(draft, known);
    return known;
  }

  /** The draft with the smallest arena among those with the lowest timelines. */
  private least(drafts: readonly Draft[]): Judged {
    const lowest = [...drafts].sort((a, z) => a.peakBytes - z.peakBytes || a.totalMs - z.totalMs);
    let best: Judged | undefined;
    for (const draft of lowest.slice(0, leastDrafts)) {
      if (best && draft.peakBytes >= (1 - leastGain) * best.prefix.arenaBytes()) break;
      const prefix = this.judgeOnce(draft);
      if (!best || prefix.arenaBytes() < best.prefix.arenaBytes()) best = { draft, prefix };
    }
    return best as Judged;
  }

  /**
   * The plan: of the drafts that `within` gives for a goal of the timeline, which is lowered by what the layout wastes
   * until the arena fits. `drafts` holds those that count for the least arena that the planner can reach.
   */
  plan(problem: PlanProblem, within: Within, drafts: readonly Draft[]): ReturnType<Planner> {
    const admissible = drafts.filter((draft) => this.isAdmissible(problem, draft));
    const smallest = this.least(admissible.length ? admissible : drafts);
    const fits = this.fitting(problem, within) ?? (meets(problem, smallest.prefix) ? smallest : undefined);
    const { draft, prefix } = fits ?? smallest;
    const leastBytes = Math.min(smallest.prefix.arenaBytes(), prefix.arenaBytes());
    return planOf(problem, this.prefixes(draft.taken), prefix, fits !== undefined, leastBytes);
  }

  private fitting(problem: PlanProblem, within: Within): Judged | undefined {
    if (problem.budgetBytes === null) return undefined;
    let goal = problem.budgetBytes;
    for (let i = 0; i < mostLayouts && goal > 0; i++) {
      const draft = within(goal);
      if (!draft) return undefined;
      const prefix = this.judge(draft);
      if (meets(problem, prefix)) return { draft, prefix };
      goal = Math.min(goal, draft.peakBytes) - Math.max(1, prefix.arenaBytes() - problem.budgetBytes);
    }
    return undefined;
  }
}

type Within = (goalBytes: number) => Draft | undefined;

interface Judged {
  readonly draft: Draft;
  readonly prefix: Prefix;
}
