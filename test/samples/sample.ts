import type { Attributes, DType } from "../../src/graph/graph.js";

/** An input of a sample: given values, or seeded ones spread evenly over `range` (default -1 to 1). */
export interface SampleInput {
  /** Default float32; a float32 input becomes float64 where the kernels allow it and a gradient is checked. */
  readonly dtype?: DType;
  readonly shape: readonly number[];
  readonly values?: readonly number[];
  readonly range?: readonly [number, number];
  /** The tensor of that earlier input once more: its gradient is the sum over all its places. */
  readonly same?: number;
  /** A constant of the graph (shapes, axes, bounds): never differentiated, its values are known to the op's record. */
  readonly constant?: true;
}

/** One node whose shapes are compared with the kernel's, and whose gradient is compared with finite differences. */
export interface Sample {
  /** "Op" for the standard domain, "domain:Op" for others: the key of the op table. */
  readonly op: string;
  /** undefined for an optional input that is absent. */
  readonly inputs: readonly (SampleInput | undefined)[];
  readonly attributes?: Attributes;
  /** How many outputs the node names; default 1. */
  readonly outputs?: number;
  /** Outputs among those that stay unnamed. */
  readonly unwanted?: readonly number[];
  /** Inputs whose gradient is compared; default none. */
  readonly differentiate?: readonly number[];
  /** Outputs that the differentiated sum runs over; default all float ones. */
  readonly through?: readonly number[];
  /** Step of the finite differences, where the default (1e-2 in float32, 1e-4 in float64) does not suit. */
  readonly step?: number;
  /** Opsets at which the node may stand in a model file, tried in turn; default 21, 18, 13, 23. */
  readonly opsets?: readonly number[];
  /** Only other processors have a kernel for this form: shapes and gradients are checked, values by a test of their own. */
  readonly elsewhere?: true;
  /** Values are drawn at random by the op: only types and shapes are compared. */
  readonly random?: true;
}

/** A float32 input of that shape, its values seeded and spread over the range. */
export const tensor = (shape: readonly number[], range: readonly [number, number] = [-1, 1]): SampleInput => ({
  shape,
  range,
});

/** A constant int64 vector: axes, shapes. */
export const vector = (...values: readonly number[]): SampleInput => ({
  dtype: "int64",
  shape: [values.length],
  values,
  constant: true,
});
