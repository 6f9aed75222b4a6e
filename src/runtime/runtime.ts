import type { Graph } from "../graph/graph.js";
import type { Layout } from "../memory/layout.js";
import type { Target } from "../step/lower.js";

/** Names of the backends: what runs on a device, what answers from a recording, what estimates. */
export type Backend = "cpu" | "cuda" | "replay" | "estimate";

/** What a report says of the machine that ran a step. */
export interface Device {
  readonly name: string;
  readonly threads: number;
  readonly memoryBytes: number;
  /** ONNX Runtime's version. */
  readonly runtimeVersion: string;
  /** What decides how it computes, for people: versions of driver and libraries, TF32, determinism. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** How one step is run. */
export interface RunOptions {
  /** Tensors whose bytes are copied out as soon as the node that makes them has run. */
  readonly observe?: ReadonlySet<string>;
  /** Measure each node. */
  readonly timeNodes?: boolean;
  /** On the CPU called once, when all is computed but the update. On a GPU the step is one captured graph: never. */
  readonly beforeUpdate?: () => void;
  /** Stops between two nodes; `run` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What one step gave. */
export interface StepResult {
  /** Wall time of the whole step, ms. */
  readonly stepMs: number;
  /** ms of each node in schedule order, 0 for views; empty unless asked for. */
  readonly nodeMs: Float64Array;
  readonly observed: ReadonlyMap<string, Uint8Array>;
}

/** How often a step is run when it is measured. */
export interface MeasureOptions {
  /** Measured iterations. */
  readonly iterations: number;
  /** Iterations before them, not counted. */
  readonly warmups: number;
  /** Sizes of which copies between host and device are timed, bytes. */
  readonly copyBytes: readonly number[];
  readonly signal?: AbortSignal;
  /** Called after each iteration. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Time of one copy of that size in each direction, ms. */
export interface CopyTime {
  readonly bytes: number;
  readonly toHostMs: number;
  readonly toDeviceMs: number;
}

/** What a device holds while a step runs, told apart, bytes. */
export interface DeviceMemory {
  /** All values: the arena. */
  readonly valuesBytes: number;
  /** What kernels took for themselves, at most at one time. */
  readonly workspaceBytes: number;
  /** Context, libraries and their handles: what the process held before anything of a step was there. */
  readonly contextBytes: number;
  /**
   * What libraries took since then: code of kernels, which is loaded when they first run, and their own workspaces. Absent
   * from runs of older versions, as the two below.
   */
  readonly kernelsBytes?: number;
  /** Captured graphs: the step's. */
  readonly graphsBytes?: number;
  /** The rest of `processBytes`: small pieces, sizes rounded up to pages, what other steps of the process hold. */
  readonly otherBytes?: number;
  /** What the process holds in all once the step was measured, as the driver says. */
  readonly processBytes: number;
  /** Pinned memory of the host for swapped tensors. */
  readonly hostBytes: number;
}

/** What was measured of a step on one device. */
export interface Measurement {
  /** For each node in schedule order its times, ms; `[0]` for a view. */
  readonly nodes: readonly (readonly number[])[];
  /** Whole steps the way they are meant to run, ms: on the CPU node by node, on CUDA as one captured graph. */
  readonly step: readonly number[];
  /** The step's time was not measured: it is the sum of its nodes'. */
  readonly simulated?: true;
  /** Nothing was measured: all times, of copies too, are estimated from a description of the device. */
  readonly estimated?: true;
  /** Where that is something else: the same steps with every kernel launched by the host, ms. */
  readonly eagerStep: readonly number[] | null;
  /** Bytes that each node's kernel takes for itself; null where that cannot be measured. */
  readonly workspaceBytes: readonly number[] | null;
  /** null where host and device are one. */
  readonly memory: DeviceMemory | null;
  /** null where host and device are one. */
  readonly copies: readonly CopyTime[] | null;
  /**
   * Losses of the steps in their order, warm-ups included; null where not finite. On the CPU of every step; a GPU also
   * makes steps whose loss is not read: before the replayed ones, and to time nodes, before the last loss.
   */
  readonly losses: readonly (number | null)[];
}

/** A graph with its memory allocated and its kernels looked up, ready to run any number of times. */
export interface LoadedStep {
  /** Bytes that were allocated for all values; on a GPU, once `stage` was called, also those of the inputs on their way. */
  readonly allocatedBytes: number;
  /** Writes a tensor's value; throws if the size differs. */
  write(name: string, data: Uint8Array): void;
  /**
   * Sends the values of all inputs to the device, through pinned memory and beside what runs there: the next `run` has them.
   * Throws for a missing one or another size. Absent where host and device are one.
   */
  stage?(values: ReadonlyMap<string, Uint8Array>): void;
  /** Copies a tensor's current bytes out; defined for resident tensors and outputs. */
  read(name: string): Uint8Array;
  /** Executes all nodes in list order. Throws `… (while running <node>)`. */
  run(options?: RunOptions): Promise<StepResult>;
  /**
   * Nodes that draw random numbers draw from now on what they would after so many runs of the step. Values may change of
   * what is no state. Absent where nothing is executed.
   */
  skipTo?(runs: number): void;
  /** Measures the step; every iteration is a real one: parameters change. */
  measure(options: MeasureOptions): Promise<Measurement>;
  /** Gives the memory back. */
  close(): void;
}

/** Executes graphs on one device. */
export interface Runtime extends Target {
  readonly backend: Backend;
  readonly device: Device;
  /** Allocates a graph's memory and looks up its kernels; the caller closes the step. */
  load(graph: Graph, layout: Layout): LoadedStep;
  /** Bytes of device memory that a step may still take; absent where the host's memory is the device's. */
  freeBytes?(): number;
  /** Bytes that the process holds on the device now, as the driver says; absent where that is no question. */
  processBytes?(): number;
  /** The most that the process has held on the device until now, as the driver says, bytes; absent where that is no question. */
  peakProcessBytes?(): number;
  /** The same device with kernels that give the same bits each time; absent where these do. It is closed before this one. */
  deterministic?(): Runtime;
  /** Gives back all that the device holds for this runtime. */
  close(): void;
}
