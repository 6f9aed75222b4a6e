import type { Attribute, DType, Graph, Node } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { opOf } from "../ops/index.js";
import type { Op } from "../ops/op.js";

/** A node's kernel as ONNX Runtime is asked for it. */
export interface OpRequest {
  /** Name of the node that asks, for messages. */
  readonly node: string;
  readonly op: string;
  readonly domain: string;
  /** Type-constraint names of the kernel with element types. */
  readonly types: ReadonlyMap<string, DType>;
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly inputCount: number;
  readonly outputCount: number;
  /** Opset that brought the op, where it is later than 18. */
  readonly since: number | undefined;
  /** Whose kernel is wanted where each lane has a session of its own; default 0. */
  readonly lane?: number;
}

/** Where the element type of a type constraint comes from: it is fixed, or that of an input or of an output. */
interface Constraint {
  readonly name: string;
  readonly dtype?: DType;
  readonly input?: number;
  readonly output?: number;
}

const constraintsOf = perObject((record: Op): readonly Constraint[] =>
  Object.entries(record.types ?? {}).map(([name, from]): Constraint => {
    if (typeof from === "number") return { name, input: from };
    return /^y\d+$/.test(from) ? { name, output: Number(from.slice(1)) } : { name, dtype: from as DType };
  }),
);

/** The request for a node's kernel: type constraints of absent inputs and outputs are left out. */
export function requestOf(node: Node, graph: Pick<Graph, "tensors">): OpRequest {
  const types = new Map<string, DType>();
  const record = opOf(node);
  for (const { name, dtype: fixed, input, output } of constraintsOf(record)) {
    const tensor = input === undefined ? node.outputs[output ?? -1] : node.inputs[input];
    const dtype = fixed ?? (tensor ? graph.tensors.get(tensor)?.dtype : undefined);
    if (dtype) types.set(name, dtype);
  }
  const used = (names: readonly string[]): number => names.findLastIndex((name) => name !== "") + 1;
  return {
    node: node.name,
    op: node.op,
    domain: node.domain,
    ...(record.kernel && { domain: record.kernel.domain, op: record.kernel.op }),
    types,
    attributes: { ...record.defaults, ...node.attributes },
    inputCount: used(node.inputs),
    outputCount: used(node.outputs),
    since: record.since === "none" ? undefined : record.since,
  };
}

/** What a kernel of ONNX Runtime is looked up by: op, element types, attributes, and how many tensors it is given. */
export function kernelKey({ domain, op, types, attributes, inputCount, outputCount, lane }: OpRequest): string {
  let key = `${domain}:${op} ${inputCount} ${outputCount}`;
  if (lane) key += ` lane ${lane}`;
  for (const [name, dtype] of types) key += ` ${name}=${dtype}`;
  for (const _ in attributes) return `${key} ${JSON.stringify(attributes)}`;
  return key;
}

/**
 * What a node's cost depends on: op, attributes, element types and shapes. Nodes with equal signatures cost the same.
 * Recordings keep hashes of it: another text makes them unreadable.
 */
export function signatureOf(node: Node, graph: Pick<Graph, "tensors">): string {
  const type = (name: string): string => {
    const tensor = graph.tensors.get(name);
    return tensor ? `${tensor.dtype}[${tensor.shape.join()}]` : "";
  };
  return JSON.stringify([node.domain, node.op, node.attributes, node.inputs.map(type), node.outputs.map(type)]);
}
