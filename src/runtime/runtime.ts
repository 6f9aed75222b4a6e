import type { Graph, Node, TensorType } from "../graph.js";
import type { Layout } from "../layout.js";

export type Backend = "cpu" | "cuda" | "estimate";

/** What a report says of the machine that ran a step. */
export interface Device {
  readonly name: string;
  readonly threads: number;
  readonly memoryBytes: number;
  /** ONNX Runtime's version. */
  readonly runtimeVersion: string;
}

/** A tensor value on the host. */
export interface Value extends TensorType {
  /** Little-endian elements. */
  readonly data: Uint8Array;
}

export interface RunOptions {
  /** Tensors whose bytes are copied out as soon as the node that makes them has run. */
  readonly observe?: ReadonlySet<string>;
  /** Measure each node. */
  readonly timeNodes?: boolean;
  /** Stops between two nodes; `run` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface StepResult {
  /** Wall time of the whole step, ms. */
  readonly stepMs: number;
  /** ms of each node in schedule order, 0 for views; empty unless asked for. */
  readonly nodeMs: Float64Array;
  readonly observed: ReadonlyMap<string, Uint8Array>;
}

/** A graph with its memory allocated and its kernels looked up, ready to run any number of times. */
export interface LoadedStep {
  /** Bytes that were allocated for all values. */
  readonly allocatedBytes: number;
  /** Writes a tensor's value; throws if the size differs. */
  write(name: string, data: Uint8Array): void;
  /** Copies a tensor's current bytes out; defined for resident tensors and outputs. */
  read(name: string): Uint8Array;
  /** Executes all nodes in list order. Throws `… (while running <node>)`. */
  run(options?: RunOptions): Promise<StepResult>;
  /** Bytes that each node's kernel allocates for itself, measured in one run of its own; null where it cannot be measured. */
  workspaceBytes(): Promise<Float64Array | null>;
  close(): void;
}

/** Executes graphs on one device. */
export interface Runtime {
  readonly backend: Backend;
  readonly device: Device;
  /** Whether there is a native kernel for the node, given the types of its inputs and outputs. */
  hasKernel(node: Node, graph: Pick<Graph, "tensors">): boolean;
  load(graph: Graph, layout: Layout): LoadedStep;
  close(): void;
}
