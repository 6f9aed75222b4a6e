import type { Attribute, DType, Graph, Node } from "../graph/graph.js";
import { opOf } from "../ops/index.js";

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
}

/** The request for a node's kernel: type constraints of absent inputs and outputs are left out. */
export function requestOf(node: Node, graph: Pick<Graph, "tensors">): OpRequest {
  const types = new Map<string, DType>();
  const record = opOf(node);
  for (const [name, from] of Object.entries(record.types ?? {})) {
    if (typeof from === "string" && !/^y\d+$/.test(from)) types.set(name, from as DType);
    else {
      const tensor = typeof from === "number" ? node.inputs[from] : node.outputs[Number(from.slice(1))];
      const dtype = tensor ? graph.tensors.get(tensor)?.dtype : undefined;
      if (dtype) types.set(name, dtype);
    }
  }
  const used = (names: readonly string[]): number => names.findLastIndex((name) => name !== "") + 1;
  return {
    node: node.name,
    op: node.op,
    domain: node.domain,
    ...record.kernel,
    types,
    attributes: { ...record.defaults, ...node.attributes },
    inputCount: used(node.inputs),
    outputCount: used(node.outputs),
    since: record.since === "none" ? undefined : record.since,
  };
}

/** What a kernel of ONNX Runtime is looked up by: op, element types, attributes, and how many tensors it is given. */
export const kernelKey = (request: OpRequest): string =>
  JSON.stringify([
    request.domain,
    request.op,
    [...request.types],
    request.attributes,
    request.inputCount,
    request.outputCount,
  ]);

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
