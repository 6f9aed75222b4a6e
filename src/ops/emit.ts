import type { Attributes, Category, DType, Tensor } from "../graph/graph.js";

export interface AddOptions {
  /** Names of the outputs; made from the node's name if absent. "" for an output that is not wanted. */
  readonly outputs?: readonly string[];
  /** How many outputs to name when `outputs` is absent; default 1. */
  readonly count?: number;
  readonly domain?: string;
  readonly name?: string;
  readonly category?: Category;
}

/** What an op's rules write nodes with: build.ts's Emit, as far as they need it. */
export interface Emit {
  /** Prefix of the names made next. */
  readonly scope: string;
  /** Type of a tensor; throws if there is none of that name. */
  type(name: string): Tensor;
  /** A name that is not taken yet; takes it. */
  fresh(wish: string): string;
  /** Declares a tensor that no node makes. */
  declare(tensor: Tensor): string;
  /** Name of a constant; equal constants share one tensor. `values` may be one number for every element. */
  constant(dtype: DType, shape: readonly number[], values: number | readonly number[]): string;
  /** A float constant of rank 0 in the element type of another tensor. */
  scalar(value: number, like: string): string;
  /** An int64 vector, the form in which ONNX takes axes and shapes. */
  vector(values: readonly number[]): string;
  /** Adds a node and returns the names of its outputs. Throws if the op is unknown or the shapes do not fit. */
  add(op: string, inputs: readonly (string | undefined)[], attributes?: Attributes, options?: AddOptions): string[];
  /** Adds a node with one output and returns its name. */
  op(op: string, inputs: readonly (string | undefined)[], attributes?: Attributes, options?: AddOptions): string;
}
