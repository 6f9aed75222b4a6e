import type { Category, Phase } from "./graph.js";
import type { Backend, Device } from "./runtime/runtime.js";

/** Repeated measurements of one time. */
export interface Samples {
  /** Each measurement, ms, in the order taken; warm-up excluded. */
  readonly samplesMs: readonly number[];
  readonly medianMs: number;
  readonly meanMs: number;
  /** Half the distance between the quartiles: the spread that outliers do not move. */
  readonly spreadMs: number;
}

/** What one node of the schedule costs (μ-TWO's table A). */
export interface NodeRow {
  readonly rank: number;
  readonly name: string;
  readonly op: string;
  readonly phase: Phase;
  readonly time: Samples;
  readonly flops: number;
  /** Bytes that the kernel reads and writes: its inputs and outputs; 0 for a view. */
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Live bytes of values while the node runs (μ-TWO's peak_mem without workspace). */
  readonly liveBytes: number;
  /** The node's own inputs and outputs: what it needs when all else is swapped out (μ-TWO's active_mem). */
  readonly activeBytes: number;
  /** Bytes the kernel allocates for itself; null where the backend cannot measure it. */
  readonly workspaceBytes: number | null;
  /** Activations (rows of the activation table) whose last forward use is this node. */
  readonly lastForwardUses: readonly string[];
  /** Activations whose first backward use is this node. */
  readonly firstBackwardUses: readonly string[];
}

/** One saved activation: made in the forward phase (or the loss), read by the backward phase (μ-TWO's table B). */
export interface ActivationRow {
  readonly name: string;
  /** Node that makes it. */
  readonly producer: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes of its storage; 0 for a view. μ-TWO's memory_size. */
  readonly memoryBytes: number;
  /** Ranks (indices into the node table). */
  readonly createdRank: number;
  readonly firstForwardAccess: number;
  readonly lastForwardAccess: number;
  readonly firstBackwardAccess: number;
  readonly lastBackwardAccess: number;
  /** Time between the end of the last forward use and the start of the first backward use, ms. */
  readonly inactiveMs: number;
  /** One transfer between host and device, ms. */
  readonly swapMs: number;
  /** False if swapMs comes from an assumed bandwidth instead of a measured copy. */
  readonly swapMeasured: boolean;
  /** Activations and resident tensors it would be recomputed from. */
  readonly recomputeSources: readonly string[];
  /** Nodes that a recomputation runs again, in schedule order. */
  readonly recomputeNodes: readonly string[];
  /** How many times it is recomputed; 1 before planning. */
  readonly recomputeCount: number;
  readonly recomputeMs: number;
  readonly totalRecomputeMs: number;
  /** Peak bytes that one recomputation adds, its own output included. */
  readonly recomputeBytes: number;
  /** memoryBytes / totalRecomputeMs; null for a view or where a random op forbids recomputing. */
  readonly recomputeRatio: number | null;
  /** Why it cannot be recomputed; null if it can. */
  readonly fixed: string | null;
  /** Whether it is live, but unused, at the baseline's peak. */
  readonly idleAtPeak: boolean;
}

/** Live bytes while each node runs, by category; residents included. */
export interface Timeline {
  readonly byCategory: Readonly<Record<Category, readonly number[]>>;
  readonly totalBytes: readonly number[];
  readonly peakBytes: number;
  /** Rank of the (first) node at the peak. */
  readonly peakRank: number;
  /** Bytes that live through the whole step: inputs, parameters, buffers, optimizer state, constants. */
  readonly residentBytes: number;
}

/** A storage that is live at the peak. */
export interface PeakHolder {
  readonly name: string;
  readonly category: Category;
  readonly bytes: number;
  /** Name of the node that makes it; null for residents. */
  readonly producer: string | null;
}

/** What was measured of one graph on one runtime, and the rows that follow from it. */
export interface Profile {
  readonly backend: Backend;
  readonly device: Device;
  readonly warmups: number;
  readonly iterations: number;
  readonly nodes: readonly NodeRow[];
  readonly activations: readonly ActivationRow[];
  readonly timeline: Timeline;
  /** Who holds the peak, largest first. */
  readonly peakHolders: readonly PeakHolder[];
  /** Predicted peak: the size of the arena by static layout. */
  readonly arenaBytes: number;
  /** Bytes that were allocated for the values when the step ran. */
  readonly allocatedBytes: number;
  /** Greatest workspace of one kernel; null where the backend cannot measure it. */
  readonly workspaceBytes: number | null;
  /** Whole steps without per-node timers. */
  readonly step: Samples;
  /** Sum of the nodes' median times, ms. */
  readonly nodesMs: number;
  /** The loss of each measured step, warm-ups included; the same batch every step. */
  readonly losses: readonly (number | null)[];
}
