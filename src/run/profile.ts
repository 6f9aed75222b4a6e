import type { Graph } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import { savedActivations } from "../memory/activations.js";
import { type Layout, layout } from "../memory/layout.js";
import type { PeakHolder, Timeline } from "../memory/liveness.js";
import { loadWithValues } from "../runtime/load.js";
import type { Backend, CopyTime, Device, DeviceMemory, Runtime } from "../runtime/runtime.js";
import { type NodeRow, tables } from "./node-rows.js";
import { optionTable } from "./options.js";
import { type Samples, samplesOf } from "./samples.js";

/** What was measured of one graph on one runtime, and the rows that follow from it. */
export interface Profile {
  /** What ran the step; of a run read back from its tables they do not say it. */
  readonly backend: Backend | "tables";
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
  /** Nothing was measured: all times, of copies too, are estimated from a description of the device. */
  readonly estimated?: true;
  /** On CUDA: the same steps with every kernel launched by the host; null on the CPU, where that is `step`. */
  readonly eagerStep: Samples | null;
  /** What the device holds, told apart; null on the CPU. */
  readonly memory: DeviceMemory | null;
  /** Copies between host and device by size, measured or estimated; null on the CPU. */
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
    /** That step, measured; without the copies where more was swapped out than the host was to pin. */
    readonly step: Samples;
  };
  /**
   * Losses of real steps in their order, warm-ups included, the same batch every step. On the CPU they are those of all
   * steps; on a GPU steps whose loss is not read (the first launch of the graph, those that time nodes) lie between some.
   */
  readonly losses: readonly (number | null)[];
}

/** How a step is measured. */
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
  /** Where the values lie; default the graph's layout. In one that overlays swapped tensors the losses mean nothing. */
  readonly places?: Layout;
}

/**
 * Measures a training step on a runtime and derives its tables. Every iteration is a real step: parameters change.
 */
export async function profileGraph(graph: Graph, runtime: Runtime, options: ProfileOptions): Promise<Profile> {
  const iterations = options.iterations ?? optionTable.iterations.default;
  const warmups = options.warmups ?? optionTable.warmups.default;
  const { step, arenaBytes } = loadWithValues(graph, runtime, options.values, options.places);
  try {
    const measured = await step.measure({
      iterations,
      warmups,
      copyBytes: runtime.freeBytes ? copySizes(graph) : [],
      signal: options.signal,
      onProgress: options.onProgress,
    });
    const workspace = measured.workspaceBytes;
    return {
      backend: runtime.backend,
      device: runtime.device,
      ...(measured.estimated ? { warmups: 0, iterations: 0 } : { warmups, iterations }),
      ...tables(graph, measured.nodes.map(samplesOf), workspace, measured.copies, measured.estimated),
      arenaBytes,
      allocatedBytes: step.allocatedBytes,
      workspaceBytes: workspace ? workspace.reduce((most, bytes) => Math.max(most, bytes), 0) : null,
      step: samplesOf(measured.step),
      simulated: measured.simulated,
      estimated: measured.estimated,
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
 * can (Purandare et al. 2023, algorithm A): nodes are the same, found by name. Where swapped tensors were overlaid the
 * losses mean nothing and are left out.
 */
export function profileOffloaded(graph: Graph, swapped: Graph, measured: Profile, isOverlaid = false): Profile {
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
    losses: isOverlaid ? [] : measured.losses,
    offloaded: { allocatedBytes: measured.allocatedBytes, step: measured.step },
  };
}

/** Sizes of copies worth timing: those of the saved activations, and round ones between 64 KiB and the largest. */
function copySizes(graph: Graph): number[] {
  const largest = greatest(
    [...savedActivations(graph).values()].map(({ bytes }) => bytes),
    0,
  );
  const sizes: number[] = [];
  for (let bytes = 2 ** 16; bytes < largest; bytes *= 4) sizes.push(bytes);
  return largest ? [...sizes, largest] : [];
}
