import type { Graph, Node } from "../graph/graph.js";

/**
 * The step with what makes the gradients of parameters in a lane of its own: beside it the backward phase goes on towards
 * the first layer. Nodes that make something else too stay where they are.
 */
export function gradientsApart(graph: Graph, lane: number): Graph {
  const isGradient = (name: string): boolean => {
    const tensor = graph.tensors.get(name);
    return tensor?.category === "gradient" && tensor.within !== undefined;
  };
  const isApart = ({ phase, outputs }: Node): boolean =>
    phase === "backward" && outputs.every((name) => isGradient(name));
  return { ...graph, nodes: graph.nodes.map((node) => (isApart(node) ? { ...node, lane } : node)) };
}
