import {
  type Attributes,
  type DType,
  type Graph,
  type Node,
  type Tensor,
  type TensorType,
  text,
} from "../graph/graph.js";
import { callOf } from "./call.js";
import type { Op, OpCall, OpTable } from "./op.js";

/** One op inside a fused node: `x0…` are the node's inputs, `c0…` constants, `y0…` its outputs, `t0…` what stays inside. */
export interface InnerNode {
  /** The standard one if absent. */
  readonly domain?: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Attributes;
}

export interface InnerConstant {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly dataBase64: string;
}

/** What a fused node computes: pointwise ops, and reductions of one kind, in order. */
export interface FusedBody {
  readonly nodes: readonly InnerNode[];
  readonly constants: Readonly<Record<string, InnerConstant>>;
  /** For each output, the inputs whose storage it may overwrite: element i is read before element i is written. */
  readonly inPlace: readonly (readonly number[])[];
}

/** Finds the record of a node's op (ops/index.ts). */
type OpLookup = (node: Pick<Node, "domain" | "op" | "name">) => Op;

const bodies = new Map<string, FusedBody>();

/** The body of a fused node. Throws if the node holds none. */
export function fusedBody(node: Pick<Node, "attributes" | "name">): FusedBody {
  const source = node.attributes.body;
  if (source?.type !== "string") throw new Error(`a fused node without a body: ${node.name}`);
  let body = bodies.get(source.value);
  if (!body) {
    body = JSON.parse(source.value) as FusedBody;
    bodies.set(source.value, body);
  }
  return body;
}

/** Attributes of a fused node: its body, and the names of its ops for people. */
export const fusedAttributes = (body: FusedBody): Attributes => ({
  body: text(JSON.stringify(body)),
  ops: text(body.nodes.map(({ op }) => op).join(" ")),
});

/** The inside of a fused node as a graph of its own, with the types of everything in it. */
export function fusedGraph(opOf: OpLookup, node: Node, inputs: readonly (TensorType | undefined)[]): Graph {
  const body = fusedBody(node);
  const tensors = new Map<string, Tensor>();
  inputs.forEach((type, i) => {
    if (type) tensors.set(`x${i}`, { name: `x${i}`, dtype: type.dtype, shape: type.shape, category: "input" });
  });
  for (const [name, { dtype, shape, dataBase64 }] of Object.entries(body.constants))
    tensors.set(name, {
      name,
      dtype,
      shape,
      category: "constant",
      data: new Uint8Array(Buffer.from(dataBase64, "base64")),
    });
  const nodes = body.nodes.map((inner, i): Node => {
    const whole: Node = {
      name: `${node.name}/${i}`,
      domain: inner.domain ?? "",
      op: inner.op,
      inputs: inner.inputs,
      outputs: inner.outputs,
      attributes: inner.attributes ?? {},
      phase: node.phase,
    };
    opOf(whole)
      .infer(callOf(whole, tensors))
      .forEach((type, j) => {
        const name = whole.outputs[j];
        if (name) tensors.set(name, { name, dtype: type.dtype, shape: type.shape, category: "temporary" });
      });
    return whole;
  });
  const outputs = node.outputs.map((_, i) => `y${i}`);
  return { name: node.name, nodes, tensors, inputs: inputs.map((_, i) => `x${i}`), outputs, state: [] };
}

/**
 * Several element-wise ops and reductions over the last axes as one node: one kernel on a GPU. Handed the look-up of
 * the ops inside, since the table of all ops holds this one too.
 */
export const fused = (opOf: OpLookup): OpTable => {
  const graphOf = (call: OpCall): Graph => fusedGraph(opOf, call.node, call.inputs);
  const record: Op = {
    infer: (call) => {
      const graph = graphOf(call);
      return graph.outputs.map((name) => graph.tensors.get(name) as Tensor);
    },
    gradient: "none",
    flops: (call) => {
      const graph = graphOf(call);
      return graph.nodes.reduce((sum, inner) => {
        const outputs = inner.outputs.map((name) => graph.tensors.get(name) as Tensor);
        return sum + opOf(inner).flops(callOf(inner, graph.tensors), outputs);
      }, 0);
    },
    view: false,
    inPlace: [],
    inPlaceOf: (node) => fusedBody(node).inPlace,
    deterministic: true,
    hostInputs: [],
    inputTypes: "any",
    types: null,
    body: ({ b, node, x, ...call }) => {
      const graph = graphOf({ node, ...call } as OpCall);
      const names = new Map<string, string>(node.inputs.map((_, i) => [`x${i}`, x(i)]));
      for (const tensor of graph.tensors.values())
        if (tensor.category === "constant" && tensor.data) {
          const { name, ...rest } = tensor;
          names.set(name, b.declare({ ...rest, name: b.fresh(`${node.name}/${name}`) }));
        }
      for (const inner of graph.nodes) {
        const inputs = inner.inputs.map((name) => (name ? names.get(name) : undefined));
        const made = b.add(inner.op, inputs, inner.attributes, { domain: inner.domain, count: inner.outputs.length });
        inner.outputs.forEach((name, i) => void names.set(name, made[i] as string));
      }
      return node.outputs.map((name, i) => (name ? (names.get(`y${i}`) as string) : ""));
    },
  };
  return { "mutwo:Fused": record };
};
