import { NodeError } from "../../graph/errors.js";
import { elementCount, type Graph, tensorOf } from "../../graph/graph.js";
import { opOf } from "../../ops/index.js";

/** Elements of one tensor that a kernel can count: libraries and kernels index by 32 bits with a sign. */
const mostElements = 2 ** 31 - 1;

/** Throws `too large for a GPU's kernels: …` for the first tensor whose elements a kernel would count past 32 bits. */
export function refuseHuge(graph: Graph): void {
  for (const node of graph.nodes)
    for (const name of opOf(node).view ? [] : [...node.inputs, ...node.outputs]) {
      const count = name ? elementCount(tensorOf(graph, name).shape) : 0;
      if (count > mostElements)
        throw new NodeError(
          `too large for a GPU's kernels: ${name} has ${count} elements, more than ${mostElements}`,
          node,
          { hint: "use a smaller batch, or for a language model --loss ce:chunks=8 (mutwo help losses)" },
        );
    }
}
