import type { Graph } from "../graph/graph.js";
import type { ActivationRow } from "../memory/activation-rows.js";

/** What is done with one activation between its forward and its backward use. */
export type Action = "keep" | "recompute" | "swap";

/** Where the copies of a swap end and begin, by the names of nodes. */
export interface SwapPlacement {
  /** Before this node the copy to the host is waited for, and the memory is free. */
  readonly outDone: string;
  /** Before this node the copy back begins, and takes memory again (μ-TWO's prefetch_prompt). */
  readonly prefetch: string;
}

/** A state that is on the host between its uses, and where its copies begin and end, by the names of nodes. */
export interface StatePlacement {
  /** Name of the parameter or the state of the optimizer; of a flat buffer of them the buffer's. */
  readonly state: string;
  /** Before this node the copy to the device begins; absent: right before the first use, which waits for it. */
  readonly prefetch?: string;
  /** Slice by slice: the nodes that renew it are cut into slices, and the next one comes while one is renewed. */
  readonly sliced?: true;
  /** Before this node the copy to the host is waited for; null: at the end of the step; absent: right after the last use. */
  readonly outDone?: string | null;
}

/** A state that a plan has on the host between its uses, what that frees, and why. */
export interface StateDecision extends StatePlacement {
  /** Bytes of the device that are free meanwhile, and of the host that are taken. */
  readonly bytes: number;
  /** One copy alone, ms. */
  readonly swapMs: number;
  /** Time of a step in which nobody uses it, ms. */
  readonly idleMs: number;
  /** One sentence for people. */
  readonly why: string;
}

/** What a plan does with one activation, what that saves and costs, and why. */
export interface Decision {
  /** Name of the activation (a row of the activation table). */
  readonly activation: string;
  readonly action: Action;
  /** For a recomputation: the copy stays for later blocks, from the first one that needs it to its last use. */
  readonly held?: true;
  /** For a swap; without it the copies are waited for at once: the least memory, and nothing hidden. */
  readonly swap?: SwapPlacement;
  /** Order in which the planner took it; 0 for the first. */
  readonly order: number;
  /** Bytes of the activation that are free between its last forward and first backward use. */
  readonly savedBytes: number;
  /** Predicted peak (timeline) after this and all earlier decisions. */
  readonly peakBytesAfter: number;
  /** Time that this decision adds to the step, ms: predicted from node times. */
  readonly addedMs: number;
  readonly recomputeRatio: number | null;
  readonly inactiveMs: number;
  /** One sentence for people. */
  readonly why: string;
}

/** How a training step is made to fit a budget. */
export interface Plan {
  readonly planner: string;
  /** Of planner `mutwo`; absent from plans of versions that knew only the mended one. */
  readonly variant?: Variant;
  /** null for planners without a budget (keepAll, recomputeAll, swapAll). */
  readonly budgetBytes: number | null;
  readonly feasible: boolean;
  /** Decisions other than keep, in the order taken. */
  readonly decisions: readonly Decision[];
  /** Parameters and states of the optimizer that are on the host between their uses; absent if none is. */
  readonly states?: readonly StateDecision[];
  /** Saved activations that are kept. */
  readonly kept: number;
  /** Predicted peak of the planned step: the arena by static layout. */
  readonly peakBytes: number;
  /** Host memory that swapped activations need: absent from plans of versions that could not swap. */
  readonly hostBytes?: number;
  /** Predicted peak by the timeline alone, without the layout's waste. */
  readonly timelinePeakBytes: number;
  /** μ-TWO's Algorithm G for the same decisions, as printed, to compare. */
  readonly printedPeakBytes: number;
  /** Predicted time that the plan adds to the step, ms. */
  readonly addedMs: number;
  /** Least arena that is known to be reached; of an infeasible plan by whichever planner of those that take no search. */
  readonly minimumPeakBytes: number;
  /** That planner, where it is another one. */
  readonly minimumPlanner?: string;
  /** For an infeasible plan: node at the least reachable peak, and what it needs. */
  readonly obstacle: {
    readonly node: string;
    readonly holders: readonly { readonly name: string; readonly bytes: number }[];
  } | null;
  readonly planningMs: number;
  /** No plan of these actions that fits the budget by the timeline adds less time; absent where nothing is proven. */
  readonly bound?: {
    readonly addedMs: number;
    /** False: a longer search for it may find a greater one. */
    readonly proven: boolean;
  };
  /** What other planners come to for the same step and budget, to compare. */
  readonly beside?: readonly BesidePlan[];
  /** What the plan was not allowed to do; absent without constraints. */
  readonly constraints?: Constraints;
  /** The members of the joint step follow one another in a ring (μ-TWO); absent where nodes keep their order. */
  readonly ring?: PlannedRing;
}

/** How the members of a joint step follow one another where each backward phase runs beside the next one's forward phase. */
export interface PlannedRing {
  /** Names that the members' nodes begin with, before a slash, in the order of the ring. */
  readonly members: readonly string[];
  /** Into how many stages each half is cut, in which two members run side by side; 0: one node after the other. */
  readonly stages: number;
  /** By forward node the backward node of the member before it that it stands before; those that are missing stand last. */
  readonly before: Readonly<Record<string, string>>;
}

/** Another planner's plan in short. */
export interface BesidePlan extends Pick<Plan, "planner" | "feasible" | "peakBytes" | "addedMs"> {
  /** Number of activations. */
  readonly recomputed: number;
  readonly swapped: number;
}

/** What a plan may not do, beside the budget. */
export interface Constraints {
  /** Names of activations that are kept. */
  readonly keep?: readonly string[];
  /** False: nothing is swapped. */
  readonly swap?: boolean;
  /** False: nothing is recomputed. */
  readonly recompute?: boolean;
  /** False: parameters and states of the optimizer stay on the device. */
  readonly states?: boolean;
  /** Host memory for what leaves the device, bytes. */
  readonly hostBytes?: number;
  /** The most time that the plan may add to the step, ms. */
  readonly maxAddedMs?: number;
}

/** How long planner `best` searches. The same plan for the same seed and number of moves, if the time suffices for them. */
export interface Effort {
  /** Vectors of actions tried in all. */
  readonly moves: number;
  readonly seed: number;
  /** Fewer are tried where more would take longer, ms. */
  readonly timeLimitMs: number;
}

/** How much is tried in a part of a search: so many vectors, until a time of `performance.now()`. */
export interface Stretch {
  readonly moves: number;
  readonly until: number;
}

/** Which μ-TWO: the paper's pseudo-code to the letter, or with its defects mended. */
export type Variant = "printed" | "mended";

/** A form in which planned graphs are executed over and over, where their order is not that of the graph that is planned. */
export interface Steady {
  /** Other forms of the same graph have other keys. */
  readonly key: string;
  /** The graph that is executed for a planned one. */
  readonly execute: (planned: Graph) => Graph;
  /** Adds to the live bytes by rank of the unplanned graph what lives beside each node; returns the peak. */
  readonly fold: (liveBytes: Float64Array, residentBytes: number) => number;
  /** So much of a copy's time do the activation table's `swapMs` hold: the share of the nodes beside which it runs. */
  readonly swapShare: number;
  /** Rank of the node of the unplanned graph before which copies to the host that have begun are complete: there steps meet. */
  readonly join: number;
}

/** What every planner gets: a measured baseline, and what is wanted. */
export interface PlanProblem {
  /** The unplanned step. */
  readonly graph: Graph;
  /** Time of each of its nodes, ms. */
  readonly nodeMs: readonly number[];
  /** Its activation table. */
  readonly rows: readonly ActivationRow[];
  /** null for planners that need none, and where only `maxAddedMs` limits the plan. */
  readonly budgetBytes: number | null;
  readonly constraints?: Constraints;
  readonly effort?: Partial<Effort>;
  /** Where lanes run side by side: how many nodes' work the device gets done at a time (`capacityOf`); default 1. */
  readonly capacity?: number;
  /** Of planner `mutwo`; default mended. */
  readonly variant?: Variant;
  /** States that are on the host in every plan of it. */
  readonly states?: readonly StatePlacement[];
  /** Time of one copy of each state that is on the host, in plans or in the graph itself, ms. */
  readonly stateMs?: ReadonlyMap<string, number>;
  /** How plans are executed, if not in the order of the graph. */
  readonly steady?: Steady;
}

/** Turns a measured step into a plan; the caller adds the planner's name and the time it took. */
export type Planner = (
  problem: PlanProblem,
) => Omit<Plan, "planner" | "variant" | "planningMs" | "constraints" | "beside">;
