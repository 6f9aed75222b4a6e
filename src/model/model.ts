import type { Attribute, DType, TensorType } from "../graph/graph.js";
import type { Scope } from "./scopes.js";

/** A node as the file has it. */
export interface ModelNode {
  readonly name: string;
  readonly domain: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Version of the default domain by which it is to be read, where that is not the file's. */
  readonly opset?: number;
  /** Where the exporter says that it comes from. */
  readonly scope?: Scope;
  /** Attributes that are graphs (the branches of an If), by their names. Absent where there are none. */
  readonly subgraphs?: Readonly<Record<string, Subgraph>>;
}

/** A tensor with its little-endian elements. */
export type Initializer = TensorType & { readonly data: Uint8Array };

/** A graph that a node holds. Its nodes may also read tensors of the graphs around it. */
export interface Subgraph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  readonly nodes: readonly ModelNode[];
  readonly unreadable: ReadonlyMap<string, Error>;
}

/** An input or output as the file declares it. */
export interface ModelValue {
  readonly name: string;
  readonly dtype: DType;
  /** A number, the name of a symbolic dimension, or null for an unknown one. Empty also for an output of unknown rank. */
  readonly dims: readonly (number | string | null)[];
}

/**
 * An ONNX file as it is, before its dimensions are bound: nodes in topological order, functions inlined. Reading one
 * throws for nothing that may turn out not to be needed: see `unreadable` and `neededPart`.
 */
export interface Model {
  readonly irVersion: number;
  /** Version of the default domain. */
  readonly opset: number;
  readonly opsets: Readonly<Record<string, number>>;
  /** Name and version of the program that wrote the file. */
  readonly producer: string;
  readonly graphName: string;
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  readonly nodes: readonly ModelNode[];
  /** What the file says of tensors between the nodes; may be incomplete. */
  readonly valueInfo: readonly ModelValue[];
  /** Tensors that cannot be read or made (strings, sequences, nodes with unknown attributes), by name, and why. Absent: none. */
  readonly unreadable?: ReadonlyMap<string, Error>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly graphMetadata: Readonly<Record<string, string>>;
}
