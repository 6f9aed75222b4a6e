import { elementCount, type Graph, type Node, type Tensor, tensorOf } from "../graph/graph.js";
import { type FusedBody, fusedAttributes, type InnerConstant, type InnerNode } from "../ops/fused.js";
import { opOf } from "../ops/index.js";

export interface Group {
  /** Ranks, in order. */
  readonly members: readonly number[];
  /** What the group goes over. */
  readonly shape: readonly number[];
}

/** What the members of a group read, under the names that it has inside of the node. */
class Operands {
  /** Inputs of the node: `x0`, `x1`, … inside. */
  readonly inputs: string[] = [];
  /** Small constants by their names inside: `c0`, `c1`, … */
  readonly constants: Record<string, InnerConstant> = {};
  private readonly names = new Map<string, string>();

  constructor(private readonly graph: Graph) {}

  /** Gives the result of a member its name inside. */
  set(name: string, inner: string): void {
    this.names.set(name, inner);
  }

  /**
   * The name of a tensor inside; what no member makes becomes an input, or a constant if it is small enough to stand in the
   * kernel's text: a scalar, or what the op reads on the host (`onHost`), the axes of a reduction. A vector of the channels
   * is another input than the same vector along the last axis.
   */
  of(name: string, isOfChannels: boolean, onHost: boolean): string {
    if (!name) return "";
    const key = isOfChannels ? `${name} of channels` : name;
    const known = this.names.get(key);
    if (known) return known;
    const inner = this.constant(name, onHost) ?? `x${this.inputs.push(name) - 1}`;
    this.names.set(key, inner);
    return inner;
  }

  private constant(name: string, onHost: boolean): string | undefined {
    const { category, data, dtype, shape } = tensorOf(this.graph, name);
    if (category !== "constant" || !data) return undefined;
    if (elementCount(shape) !== 1 && !onHost) return undefined;
    const inner = `c${Object.keys(this.constants).length}`;
    this.constants[inner] = { dtype, shape, dataBase64: Buffer.from(data).toString("base64") };
    return inner;
  }
}

/** For each output the inputs in whose place it may be written: those of its type, if both have the group's shape. */
function inPlaceOf(graph: Graph, inputs: readonly string[], outputs: readonly string[], shape: readonly number[]) {
  const isFull = (tensor: Tensor): boolean => tensor.shape.join() === shape.join();
  return outputs.map((name) => {
    const output = tensorOf(graph, name);
    if (!isFull(output)) return [];
    return inputs.flatMap((input, i) => {
      const tensor = tensorOf(graph, input);
      return isFull(tensor) && tensor.dtype === output.dtype ? [i] : [];
    });
  });
}

/** A group as one node. Equal members are written once. */
export function write(graph: Graph, { members, shape }: Group, leaves: (name: string) => boolean): Node {
  const operands = new Operands(graph);
  const outputs: string[] = [];
  const nodes: InnerNode[] = [];
  /** Inner names of results by what they are computed from. */
  const known = new Map<string, readonly string[]>();
  let count = 0;
  for (const rank of members) {
    const node = graph.nodes[rank] as Node;
    const { domain, op, inputs: from, outputs: to, attributes } = node;
    const { channelInputs, hostInputs } = opOf(node);
    const inputs = from.map((input, slot) =>
      operands.of(input, channelInputs?.includes(slot) ?? false, hostInputs.includes(slot)),
    );
    const key = JSON.stringify([domain, op, inputs, attributes]);
    const same = known.get(key);
    if (same && !to.some(leaves)) {
      to.forEach((name, i) => void operands.set(name, same[i] as string));
      continue;
    }
    const own = to.map((name) => {
      if (!name) return "";
      const inner = leaves(name) ? `y${outputs.push(name) - 1}` : `t${count++}`;
      operands.set(name, inner);
      return inner;
    });
    if (!same) known.set(key, own);
    nodes.push({
      ...(domain && { domain }),
      op,
      inputs,
      outputs: own,
      ...(Object.keys(attributes).length ? { attributes } : {}),
    });
  }
  const { inputs, constants } = operands;
  const body: FusedBody = { nodes, constants, inPlace: inPlaceOf(graph, inputs, outputs, shape) };
  const { name, phase } = graph.nodes[members.at(-1) as number] as Node;
  return { name, domain: "mutwo", op: "Fused", inputs, outputs, attributes: fusedAttributes(body), phase };
}
