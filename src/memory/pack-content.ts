import type { Stage } from "../graph/lanes.js";
import type { Span } from "./packing.js";
import type { Storage } from "./storages.js";

export type Life = Span &
  Pick<Storage, "bytes"> & {
    /** A state that is on the device for a while: large, and best packed with others of its kind. */
    readonly aside?: true;
  };

/** A flat buffer whose parts are made by nodes. */
export interface FlatBuffer {
  readonly tensor: string;
  readonly bytes: number;
  readonly parts: readonly { readonly storage: Life; readonly offsetBytes: number }[];
}

/** The storages of an arena that are to be placed after its residents, which take `base` bytes. */
export interface Content {
  readonly free: readonly Life[];
  readonly flat: readonly FlatBuffer[];
  readonly base: number;
  /** Nodes of the schedule. */
  readonly count: number;
  /** Stages of the schedule, where nodes of several lanes run side by side; absent: they run one after the other. */
  readonly stages?: readonly Stage[];
}

export interface Packed {
  /** Size of the arena. */
  readonly end: number;
  /** Offset of each free storage. */
  readonly starts: Float64Array;
  /** Offset of each flat buffer. */
  readonly flatStarts: readonly number[];
}
