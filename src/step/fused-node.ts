import { elementCount, type Graph, type Node, type Tensor, tensorOf } from "../graph/graph.js";
import { type FusedBody, fusedAttributes, type InnerConstant, type InnerNode } from "../ops/fused.js";

export interface Group {
  /** Ranks, in order. */
  readonly members: readonly number[];
  /** What the group goes over. */
  readonly shape: readonly number[];
  readonly reducedAxes: number;
}

/** A group as one node. Equal members are written once. */
export function write(graph: Graph, { members, shape }: Group, leaves: (name: string) => boolean): Node {
  const names = new Map<string, string>();
  const inputs: string[] = [];
  const outputs: string[] = [];
  const constants: Record<string, InnerConstant> = {};
  const nodes: InnerNode[] = [];
  const known = new Map<string, string>();
  const inner = (name: string): string => {
    if (!name) return "";
    const found = names.get(name);
    if (found) return found;
    const tensor = tensorOf(graph, name);
    let made: string;
    if (
      tensor.category === "constant" &&
      tensor.data &&
      (elementCount(tensor.shape) === 1 || (tensor.dtype === "int64" && tensor.shape.length === 1))
    ) {
      made = `c${Object.keys(constants).length}`;
      constants[made] = {
        dtype: tensor.dtype,
        shape: tensor.shape,
        dataBase64: Buffer.from(tensor.data).toString("base64"),
      };
    } else {
      made = `x${inputs.length}`;
      inputs.push(name);
    }
    names.set(name, made);
    return made;
  };
  let count = 0;
  for (const rank of members) {
    const { op, inputs: from, outputs: to, attributes } = graph.nodes[rank] as Node;
    const name = to[0] as string;
    const operands = from.map(inner);
    const key = JSON.stringify([op, operands, attributes]);
    const same = known.get(key);
    const isOutput = leaves(name);
    if (same && !isOutput) {
      names.set(name, same);
      continue;
    }
    const own = isOutput ? `y${outputs.length}` : `t${count++}`;
    if (isOutput) outputs.push(name);
    if (!same) known.set(key, own);
    names.set(name, own);
    nodes.push({
      op,
      inputs: operands,
      outputs: [own],
      ...(Object.keys(attributes).length ? { attributes } : {}),
    });
  }
  const isFull = (tensor: Tensor): boolean => tensor.shape.join() === shape.join();
  const inPlace = outputs.map((name) => {
    const output = tensorOf(graph, name);
    if (!isFull(output)) return [];
    return inputs.flatMap((input, i) => {
      const tensor = tensorOf(graph, input);
      return isFull(tensor) && tensor.dtype === output.dtype ? [i] : [];
    });
  });
  const body: FusedBody = { nodes, constants, inPlace };
  const last = graph.nodes[members.at(-1) as number] as Node;
  return {
    name: last.name,
    domain: "mutwo",
    op: "Fused",
    inputs,
    outputs,
    attributes: fusedAttributes(body),
    phase: last.phase,
  };
}
