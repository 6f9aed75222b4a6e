import { type Category, type Graph, type Phase, tensorBytes, tensorOf } from "./graph.js";
import { layout } from "./layout.js";
import { peakHolders, timeline } from "./liveness.js";
import { loadWithValues } from "./load.js";
import { activationRows } from "./metrics.js";
import { callOf } from "./ops/call.js";
import { opOf } from "./ops/index.js";
import type { Backend, CopyTime, Device, DeviceMemory, Runtime } from "./runtime/runtime.js";
import { savedActivations } from "./saved.js";

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
  /** Bytes of the device that the kernel reads and writes: its inputs and outputs; 0 for a view. */
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
  /** Whole steps without per-node timers: on the CPU node by node, on CUDA as one captured graph. */
  readonly step: Samples;
  /** The step's time is simulated: the sum of its nodes' times, which a recording holds. */
  readonly simulated?: true;
  /** On CUDA: the same steps with every kernel launched by the host; null on the CPU, where that is `step`. */
  readonly eagerStep: Samples | null;
  /** What the device holds, told apart; null on the CPU. */
  readonly memory: DeviceMemory | null;
  /** Copies between host and device by size; null on the CPU. */
  readonly copies: readonly CopyTime[] | null;
  /** Sum of the nodes' median times, ms. */
  readonly nodesMs: number;
  /**
   * Set where the step is too large for the device: its nodes were then measured with every saved activation swapped
   * out, `step` is the sum of their times, not measured, and nothing was allocated as it stands.
   */
  readonly offloaded?: {
    /** Bytes that were allocated for the step with everything swapped out. */
    readonly allocatedBytes: number;
    /** That step, measured. */
    readonly step: Samples;
  };
  /** The loss of each measured step, warm-ups included; the same batch every step. */
  readonly losses: readonly (number | null)[];
}

export interface ProfileOptions {
  /** First values of the resident tensors (initial.ts). */
  readonly values: ReadonlyMap<string, Uint8Array>;
  /** Measured iterations, default 5. */
  readonly iterations?: number;
  /** Iterations before them, default 2. */
  readonly warmups?: number;
  readonly signal?: AbortSignal;
  /** Called after each iteration. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Bandwidth between host and device that swap times are simulated with where no copy can be measured: PCIe 4.0 x16. */
export const assumedSwapBytesPerMs = 25e6;

/** Median, mean and spread of measured times, ms. Throws if there is none. */
export function samplesOf(samplesMs: readonly number[]): Samples {
  if (samplesMs.length === 0) throw new Error("no samples");
  const sorted = [...samplesMs].sort((a, z) => a - z);
  const quantile = (q: number): number => {
    const at = q * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(at)] as number, sorted[Math.ceil(at)] as number];
    return low + (high - low) * (at - Math.floor(at));
  };
  const meanMs = sorted.reduce((sum, x) => sum + x, 0) / sorted.length;
  return { samplesMs, medianMs: quantile(0.5), meanMs, spreadMs: (quantile(0.75) - quantile(0.25)) / 2 };
}

/**
 * Measures a training step on a runtime and derives its tables. Every iteration is a real step: parameters change.
 */
export async function profileGraph(graph: Graph, runtime: Runtime, options: ProfileOptions): Promise<Profile> {
  const iterations = options.iterations ?? 5;
  const warmups = options.warmups ?? 2;
  const { step, arenaBytes } = loadWithValues(graph, runtime, options.values);
  try {
    const measured = await step.measure({
      iterations,
      warmups,
      copyBytes: runtime.freeBytes ? copySizes(graph) : [],
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    });
    const workspace = measured.workspaceBytes;
    return {
      backend: runtime.backend,
      device: runtime.device,
      warmups,
      iterations,
      ...tables(graph, measured.nodes.map(samplesOf), workspace, measured.copies),
      arenaBytes,
      allocatedBytes: step.allocatedBytes,
      workspaceBytes: workspace ? workspace.reduce((most, bytes) => Math.max(most, bytes), 0) : null,
      step: samplesOf(measured.step),
      ...(measured.simulated ? { simulated: true as const } : {}),
      eagerStep: measured.eagerStep && samplesOf(measured.eagerStep),
      memory: measured.memory,
      copies: measured.copies,
      losses: measured.losses,
    };
  } finally {
    step.close();
  }
}

/**
 * The profile of a graph that the device cannot hold, from that of the same graph with activations swapped out, which it
 * can (Purandare et al. 2023, algorithm A): nodes are the same, found by name.
 */
export function profileOffloaded(graph: Graph, swapped: Graph, measured: Profile): Profile {
  const rows = new Map(swapped.nodes.map((node, rank) => [node.name, measured.nodes[rank] as NodeRow]));
  const none = samplesOf([0]);
  const own = graph.nodes.map((node) => rows.get(node.name));
  const workspace = measured.workspaceBytes === null ? null : own.map((row) => row?.workspaceBytes ?? 0);
  const derived = tables(
    graph,
    own.map((row) => row?.time ?? none),
    workspace,
    measured.copies,
  );
  return {
    ...measured,
    ...derived,
    arenaBytes: layout(graph).arenaBytes,
    allocatedBytes: 0,
    step: samplesOf([derived.nodesMs]),
    eagerStep: null,
    offloaded: { allocatedBytes: measured.allocatedBytes, step: measured.step },
  };
}

/** Sizes of copies worth timing: those of the saved activations, and round ones between 64 KiB and the largest. */
function copySizes(graph: Graph): number[] {
  const largest = Math.max(0, ...[...savedActivations(graph).values()].map(({ bytes }) => bytes));
  const sizes: number[] = [];
  for (let bytes = 2 ** 16; bytes < largest; bytes *= 4) sizes.push(bytes);
  return largest ? [...sizes, largest] : [];
}

/** Time of one copy of that size: the slower direction, between the measured sizes on a straight line. */
function copyMs(copies: readonly CopyTime[], bytes: number): number {
  const points = copies.map((copy) => [copy.bytes, Math.max(copy.toHostMs, copy.toDeviceMs)] as const);
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return 0;
  if (bytes <= first[0]) return first[1];
  const above = points.findIndex(([size]) => size >= bytes);
  // beyond the largest the bandwidth is what it was there
  if (above < 0) return (last[1] * bytes) / last[0];
  const [p, q] = [points[above - 1], points[above]] as [readonly [number, number], readonly [number, number]];
  return p[1] + ((q[1] - p[1]) * (bytes - p[0])) / (q[0] - p[0]);
}

/** Everything of a profile that follows from the graph and the nodes' times. */
function tables(
  graph: Graph,
  times: readonly Samples[],
  workspace: readonly number[] | null,
  copies: readonly CopyTime[] | null,
) {
  const nodeMs = times.map((time) => time.medianMs);
  const memory = timeline(graph);
  const swapMs = (bytes: number): number => (copies?.length ? copyMs(copies, bytes) : bytes / assumedSwapBytesPerMs);
  const activations = activationRows(graph, nodeMs, { swapMs, swapMeasured: Boolean(copies?.length) });
  const namesBy = (rank: (row: ActivationRow) => number): Map<number, string[]> => {
    const names = new Map<number, string[]>();
    for (const row of activations) names.set(rank(row), [...(names.get(rank(row)) ?? []), row.name]);
    return names;
  };
  const lastForward = namesBy((row) => row.lastForwardAccess);
  const firstBackward = namesBy((row) => row.firstBackwardAccess);
  const nodes = graph.nodes.map((node, rank): NodeRow => {
    const op = opOf(node);
    const sum = (names: Iterable<string>): number =>
      [...new Set(names)].reduce(
        (bytes, name) => bytes + (name && !tensorOf(graph, name).host ? tensorBytes(tensorOf(graph, name)) : 0),
        0,
      );
    const outputs = node.outputs.map((name) =>
      name ? tensorOf(graph, name) : { dtype: "float32" as const, shape: [0] },
    );
    return {
      rank,
      name: node.name,
      op: node.domain ? `${node.domain}.${node.op}` : node.op,
      phase: node.phase,
      time: times[rank] as Samples,
      flops: op.flops(callOf(node, graph.tensors), outputs),
      inputBytes: op.view ? 0 : sum(node.inputs),
      outputBytes: op.view ? 0 : sum(node.outputs),
      liveBytes: memory.totalBytes[rank] as number,
      activeBytes: op.view ? 0 : sum([...node.inputs, ...node.outputs]),
      workspaceBytes: workspace ? (workspace[rank] as number) : null,
      lastForwardUses: lastForward.get(rank) ?? [],
      firstBackwardUses: firstBackward.get(rank) ?? [],
    };
  });
  return {
    nodes,
    activations,
    timeline: memory,
    peakHolders: peakHolders(graph),
    nodesMs: nodeMs.reduce((sum, ms) => sum + ms, 0),
  };
}
