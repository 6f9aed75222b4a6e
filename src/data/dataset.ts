import type { DType } from "../graph/graph.js";
import type { Numbers } from "./batch.js";

/** What a dataset has of each sample. */
export interface DataColumn {
  /** The tensor's name that it is for, or its own. */
  readonly name: string;
  readonly dtype: DType;
  /** Of one sample. */
  readonly shape: readonly number[];
  /** Numbers side by side, as in a table: a tensor of any shape with as many elements takes them. */
  readonly isFlat?: boolean;
  /** What its whole numbers are multiplied by where an input of floats takes them; default 1. */
  readonly scale?: number;
  /** How the file calls it, if not by `name`. */
  readonly source?: string;
}

/** Samples to train with or to judge by: each has the same columns, and any can be read at any time. */
export interface Dataset {
  /** What messages call it: the file's or folder's name. */
  readonly name: string;
  /** How many samples there are. */
  readonly count: number;
  readonly columns: readonly DataColumn[];
  /** What the file calls all that it holds, of which `columns` may be a part or put together. Default as `columns` are called. */
  readonly fields?: readonly string[];
  /** What the class numbers of the target mean, where the data says it. */
  readonly classes?: readonly string[];
  /**
   * A column's elements of some samples, one sample after the other, in the column's element type. A dataset that can
   * fills `into`, which has that type and size, and gives it back.
   */
  read(column: string, indices: Int32Array | readonly number[], into?: Numbers): Numbers | Promise<Numbers>;
  /** Where a sample comes from, for messages: `row 7`, `cats/3.png`. */
  at?(index: number): string;
  /** Closes its files. */
  close(): void;
}
