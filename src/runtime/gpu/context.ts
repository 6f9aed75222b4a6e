import { type Graph, type Node, tensorOf } from "../../graph/graph.js";
import type { Kernels } from "../ort.js";
import type { Pointer } from "../ort-api.js";
import type { Compiler } from "./compiler.js";
import type { Cuda } from "./cuda.js";
import type { Cudnn } from "./cudnn.js";
import type { Convolution, KeptWay, UnboundConvolution } from "./cudnn-convolutions.js";
import type { KernelSource } from "./source/kernel.js";
import type { Workspace } from "./workspace.js";

/** What there is to run nodes with. */
export interface Means {
  readonly cudnn: Pick<Cudnn, "supports">;
  /** Whether kernels can be compiled here. */
  readonly compiles: boolean;
  /** Only kernels that give the same bits each time. */
  readonly deterministic: boolean;
  /** Whether cuDNN has a plan for a convolution with channels last; absent: that is not known. */
  readonly isPlannable?: (spec: UnboundConvolution) => boolean;
  /** Whether products of float32 may be rounded to TF32. */
  readonly tf32: boolean;
  /** Whether the device has what the kernels of attention need: compute capability 8.0, and the shared memory. */
  readonly attends: boolean;
}

/**
 * What the nodes of one lane are launched with. Nothing of it is used by another lane, whose nodes may run at the same time:
 * handles of libraries have memory of their own, which calls write over.
 */
export interface Lane {
  readonly stream: Pointer;
  /** Streams for copies to the host and back. */
  readonly copyStreams: { readonly out: Pointer; readonly in: Pointer };
  readonly cudnn: Cudnn;
  readonly kernels: Kernels;
  readonly workspace: Workspace;
  /** Ways to compute convolutions by the lane's cuDNN, by what they compute. */
  readonly convolutions: Map<string, readonly Convolution[]>;
}

/** What lanes are opened with. */
export interface LaneOptions extends Pick<Means, "tf32" | "deterministic"> {
  readonly cuda: Cuda;
  /** Path of cuDNN's library. */
  readonly cudnnFile: string;
  /** Where sessions have their input and output: 8 bytes, which no kernel touches. */
  readonly scratch: Pointer;
}

/** Everything that the steps of one runtime share; what is a lane's is the first one's. */
export interface Gpu extends Means, Lane {
  readonly cuda: Cuda;
  readonly cudnn: Cudnn;
  /** How convolutions were found to be computed best, whichever lane asked first, by what they compute. */
  readonly found: Map<string, readonly KeptWay[]>;
  /** Which of the ways each node takes. */
  readonly chosen: Map<string, Pick<Convolution, "ms" | "workspaceBytes">>;
  /** What the process held on the device when everything was open and nothing of a step was there, bytes; lanes add to it. */
  contextBytes(): number;
  /** What lanes are opened with. */
  readonly laneOptions: LaneOptions;
  /** A lane, opened when it is first asked for; 0 is the first. */
  lane(number: number): Lane;
  readonly compiler: Compiler | undefined;
  /** How often kernels of ONNX Runtime were called or captured, by any step. */
  kernelUses(): number;
}

/** What a node that runs without a kernel of ONNX Runtime works with. */
export interface NodeContext extends Gpu {
  readonly graph: Pick<Graph, "tensors" | "name">;
  /** How many lanes with convolutions run side by side: a power of 2. */
  readonly beside: number;
  address(name: string): Pointer;
  /** Host tensors that hold nothing of use: they are not copied. */
  readonly overlaid?: ReadonlySet<string> | undefined;
  /** An event that belongs to a tensor: the same each time. */
  event(name: string): Pointer;
  /** Address of the number of the step, which grows by one each time. */
  readonly stepCounter: Pointer;
  /** A launch of a generated kernel on these addresses; it is compiled when all that a step needs is known. */
  launcher(source: KernelSource, addresses: () => readonly Pointer[]): () => void;
}

/** How a node runs without a kernel of ONNX Runtime. */
export interface OwnNode {
  /** Whether it can run this node; a condition on its types and attributes. */
  fits(node: Node, graph: Pick<Graph, "tensors">, means: Means): boolean;
  prepare(node: Node, context: NodeContext): () => void;
}

/** Type of a tensor of a node. */
export const typeIn = (graph: Pick<Graph, "tensors">, name: string | undefined) =>
  tensorOf({ ...graph, name: "" }, name ?? "");

/** An attribute that is a list of numbers. */
export const numbers = (node: Node, name: string): readonly number[] | undefined =>
  node.attributes[name]?.value as readonly number[] | undefined;

/** An attribute that is a number. */
export const number = (node: Node, name: string, otherwise: number): number =>
  (node.attributes[name]?.value as number | undefined) ?? otherwise;
