import type { Graph } from "./graph.js";

/** Where each tensor lies in the one arena. */
export interface Layout {
  /** Size of the arena: the peak that is predicted and allocated. */
  readonly arenaBytes: number;
  /** Byte offset of every tensor that a kernel reads or writes on the device. */
  readonly offsets: ReadonlyMap<string, number>;
}

export declare function layout(graph: Graph): Layout;
