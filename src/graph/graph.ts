import { perObject } from "./memo.js";
import type { Origins } from "./origins.js";

/** Element types, by numpy's names. */
export type DType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64"
  | "bool";

/** What a tensor is for; each tensor has exactly one category. */
export type Category =
  | "input"
  | "parameter"
  | "buffer"
  | "activation"
  | "gradient"
  | "optimizer state"
  | "temporary"
  | "constant";

/** The part of the training step that a node belongs to. */
export type Phase = "forward" | "loss" | "backward" | "update";

export const phases: readonly Phase[] = ["forward", "loss", "backward", "update"];

/** Whether a phase comes before the backward one: forward, or the loss at its end. */
export const isForward = (phase: Phase): boolean => phase === "forward" || phase === "loss";

export const categories: readonly Category[] = [
  "parameter",
  "optimizer state",
  "buffer",
  "constant",
  "input",
  "activation",
  "gradient",
  "temporary",
];

/** Element type and shape; shapes are always fixed numbers here. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A value of a graph: its type, what it is for, and where it lies if that is fixed. */
export interface Tensor extends TensorType {
  readonly name: string;
  readonly category: Category;
  /** Little-endian elements: constants always have them, parameters and buffers if the model file holds them. */
  readonly data?: Uint8Array;
  /** The tensor is the part of another tensor's storage that starts at this offset (a slice of a flat buffer). */
  readonly within?: { readonly tensor: string; readonly offsetBytes: number };
  /** The tensor lies in host memory, not in the device's arena. */
  readonly host?: true;
  /**
   * The tensor holds a setting of the optimizer that may be another in the next step: the learning rate times this; of
   * several models, a vector of each one's learning rate times this, or times the model's own of these.
   */
  readonly rate?: number | readonly number[];
  /** From where to where (exclusive) seeded values of an input make sense: labels, probabilities. */
  readonly range?: readonly [number, number];
}

/** ONNX attribute values; ints and floats are told apart because kernels do. */
export type Attribute =
  | { readonly type: "int"; readonly value: number }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "ints"; readonly value: readonly number[] }
  | { readonly type: "floats"; readonly value: readonly number[] }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "tensor"; readonly value: TensorType & { readonly data: Uint8Array } };

/** A node's attributes by their names. */
export type Attributes = Readonly<Record<string, Attribute>>;

/** One execution of an op: what it reads, what it makes, and the part of the step that it belongs to. */
export interface Node {
  readonly name: string;
  /** "" is the standard ONNX domain; "mutwo" is ours; "com.microsoft" is ONNX Runtime's. */
  readonly domain: string;
  readonly op: string;
  /** Tensor names; "" stands for an optional input that is absent. */
  readonly inputs: readonly string[];
  /** Tensor names; "" stands for an optional output that is not wanted. */
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
  readonly phase: Phase;
  /**
   * Nodes of different lanes may run at the same time (absent: lane 0). Nodes of one lane run in list order; one that
   * reads or replaces what another lane made or reads waits for it.
   */
  readonly lane?: number;
  /** Nodes of a stage begin when those of all stages before have ended (absent: stage 0); along the list it never falls. */
  readonly stage?: number;
}

/** One of the models that a joint graph trains (step/together.ts). */
export interface GraphTrial {
  /** `m3`: no other trial of the graph has it. */
  readonly name: string;
  /** What stands, with a slash behind it, before the names of its nodes and tensors; of all that are fused into one the same. */
  readonly array: string;
  /** Of trials that are fused into one: which part of each tensor is its own, from 0. */
  readonly index?: number;
  /** Name of its loss: a scalar, or of fused trials the vector of all their losses. */
  readonly loss: string;
}

/**
 * A computation whose node list is its schedule: a runtime executes the nodes in list order.
 *
 * A tensor that no node makes is resident: it lives through the whole step (inputs, parameters, buffers, optimizer
 * state, constants). The one exception is a flat buffer whose parts are made by nodes (`Tensor.within`).
 */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What is given anew for each step: the model's inputs and the labels. */
  readonly inputs: readonly string[];
  /** Tensors that must hold their value when the step ends (the loss, the model's outputs when asked for). */
  readonly outputs: readonly string[];
  /** Resident tensors that the step replaces: `after` is written into the storage of `before`. */
  readonly state: readonly { readonly before: string; readonly after: string }[];
  /** Name of the scalar loss, once there is one; of a joint graph the sum of its trials' losses. */
  readonly loss?: string;
  /** The models that a joint graph trains, if it is one. */
  readonly trials?: readonly GraphTrial[];
  /** Which modules and lines of the user's code the model's nodes come from, where that is known. */
  readonly origins?: Origins;
}

export const int = (value: number): Attribute => ({ type: "int", value });

export const float = (value: number): Attribute => ({ type: "float", value });

export const text = (value: string): Attribute => ({ type: "string", value });

export const ints = (value: readonly number[]): Attribute => ({ type: "ints", value });

const elementBytes: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  bool: 1,
};

export const dtypes = Object.keys(elementBytes) as readonly DType[];

/** Numbers by which ONNX knows element types (TensorProto.DataType). */
export const onnxNumbers: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
};

const fromOnnx = new Map(Object.entries(onnxNumbers).map(([dtype, number]) => [number, dtype as DType]));

/** Names of the element types that ONNX has and mutwo has not, by ONNX's numbers. */
const otherTypes: ReadonlyMap<number, string> = new Map([
  [0, "none"],
  [8, "string"],
  [14, "complex64"],
  [15, "complex128"],
  [17, "float8e4m3fn"],
  [18, "float8e4m3fnuz"],
  [19, "float8e5m2"],
  [20, "float8e5m2fnuz"],
  [21, "uint4"],
  [22, "int4"],
  [23, "float4e2m1"],
  [24, "float8e8m0"],
  [25, "uint2"],
  [26, "int2"],
]);

/** The element type of an ONNX number. Throws `unsupported element type: string (…)`. */
export function dtypeOfNumber(number: number, where = ""): DType {
  const dtype = fromOnnx.get(number);
  if (dtype) return dtype;
  const name = otherTypes.get(number) ?? `number ${number}, which ONNX does not have`;
  throw new Error(`unsupported element type: ${name}${where && ` (${where})`}`);
}

/** Bytes of one element. */
export const bytesPerElement = (dtype: DType): number => elementBytes[dtype];

/** Whether the element type holds fractions, so that a gradient can flow through it. */
export const isFloat = (dtype: DType): boolean => dtype.includes("float");

/** Whether it holds fractions in 16 bits. */
export const is16Bit = (dtype: DType | undefined): boolean => dtype === "float16" || dtype === "bfloat16";

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let product = 1;
  for (const size of shape) product *= size;
  return product;
}

/** Bytes of a tensor's elements, whether or not it shares another tensor's storage. */
export const tensorBytes = (tensor: TensorType): number => elementCount(tensor.shape) * elementBytes[tensor.dtype];

/** The tensor of that name; throws if the graph has none. */
export function tensorOf(graph: Pick<Graph, "tensors" | "name">, name: string): Tensor {
  const tensor = graph.tensors.get(name);
  if (!tensor) throw new Error(`unknown tensor: ${name} (graph ${graph.name})`);
  return tensor;
}

/** For each tensor that a node makes, the index of that node. */
export const producers = ({ nodes }: Pick<Graph, "nodes">): ReadonlyMap<string, number> => madeBy(nodes);

const madeBy = perObject((nodes: readonly Node[]): ReadonlyMap<string, number> => {
  const made = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const name of node.outputs) if (name) made.set(name, index);
  });
  return made;
});

/** For each tensor that nodes read, the indices of those nodes in schedule order, each once. */
export const consumers = ({ nodes }: Pick<Graph, "nodes">): ReadonlyMap<string, readonly number[]> => readBy(nodes);

const readBy = perObject((nodes: readonly Node[]): ReadonlyMap<string, readonly number[]> => {
  const read = new Map<string, number[]>();
  nodes.forEach(({ inputs }, index) => {
    for (const name of inputs) {
      const known = read.get(name);
      if (!known) read.set(name, [index]);
      else if (known.at(-1) !== index) known.push(index);
    }
  });
  read.delete("");
  return read;
});

/** The graph without nodes that neither its outputs nor its state depend on, and without tensors that nothing uses. */
export function prune(graph: Graph): Graph {
  const wanted = new Set<string>();
  const wholeOf = (name: string): string => graph.tensors.get(name)?.within?.tensor ?? "";
  const want = (name: string): void => {
    if (!name || wanted.has(name)) return;
    wanted.add(name);
    want(wholeOf(name));
  };
  // all parts of a buffer that is wanted are
  const isWanted = (name: string): boolean => wanted.has(name) || wanted.has(wholeOf(name));
  for (const name of graph.outputs) want(name);
  for (const { before, after } of graph.state) {
    want(before);
    want(after);
  }
  const nodes: Node[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i] as Node;
    if (!node.outputs.some(isWanted)) continue;
    nodes.push(node);
    for (const name of node.inputs) want(name);
  }
  nodes.reverse();
  for (const node of nodes) for (const name of node.outputs) if (name) wanted.add(name);
  const tensors = new Map<string, Tensor>();
  graph.tensors.forEach((tensor, name) => {
    if (wanted.has(name) || wanted.has(tensor.within?.tensor ?? "")) tensors.set(name, tensor);
  });
  return {
    ...graph,
    nodes,
    tensors,
    inputs: graph.inputs.filter(isWanted),
  };
}
