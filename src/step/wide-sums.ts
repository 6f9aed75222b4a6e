import {
  consumers,
  type Graph,
  int,
  is16Bit,
  type Node,
  onnxNumbers,
  producers,
  prune,
  tensorOf,
} from "../graph/graph.js";
import { fusible } from "./fusible.js";

const isOp = (node: Node | undefined, op: string): node is Node => node?.domain === "" && node.op === op;

/**
 * The graph with sums of 16-bit tensors made in float32 by the node that adds them up, where a cast stands before or behind
 * it: the tensor is read as it is instead of being written in float32 first, and the sum is not rounded on its way. Sums
 * over rows are left to fused nodes.
 */
export function sumWide(graph: Graph, hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean): Graph {
  const [made, read] = [producers(graph), consumers(graph)];
  const kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const maker = (name: string): Node | undefined => graph.nodes[made.get(name) ?? -1];
  const typeOf = (name: string) => tensorOf(graph, name).dtype;

  /** What a sum adds up in 16 bits; undefined if it does not, or over rows. */
  const narrow = (sum: Node): string | undefined => {
    if (fusible(sum, graph)) return undefined;
    const [x = ""] = sum.inputs;
    if (is16Bit(typeOf(x))) return x;
    const cast = typeOf(x) === "float32" ? maker(x) : undefined;
    const [from = ""] = isOp(cast, "Cast") && cast.phase === sum.phase ? cast.inputs : [];
    return from && is16Bit(typeOf(from)) ? from : undefined;
  };
  const wide = (node: Node, sum: Node, x: string): Node => {
    const { noop_with_empty_axes: _, ...attributes } = sum.attributes;
    const inputs = [x, ...sum.inputs.slice(1)];
    return {
      ...node,
      domain: "mutwo",
      op: "ReduceSum",
      inputs,
      attributes: { ...attributes, to: int(onnxNumbers.float32) },
    };
  };

  const nodes = graph.nodes.map((node) => {
    const isCast = isOp(node, "Cast");
    const [name = ""] = node.inputs;
    const sum = isCast ? maker(name) : node;
    if (!isOp(sum, "ReduceSum") || typeOf(node.outputs[0] as string) !== "float32") return node;
    if (isCast && (kept.has(name) || (read.get(name) ?? []).length !== 1 || sum.phase !== node.phase)) return node;
    const x = narrow(sum);
    const made = x === undefined ? undefined : wide(node, sum, x);
    return made && hasKernel(made, graph) ? made : node;
  });
  return nodes.every((node, i) => node === graph.nodes[i]) ? graph : prune({ ...graph, nodes });
}
