import { bytesPerElement, elementCount, type Graph, type Node, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import type { HostMemory } from "./host-memory.js";

/** What runs a node by copying bytes, in place of a kernel; undefined where a kernel is to be called. */
export function hostCopy(node: Node, graph: Graph, memory: HostMemory): (() => void) | undefined {
  const { swap } = opOf(node);
  if (swap === "out" || swap === "in") return transfer(node, memory);
  return node.op === "Concat" && node.domain === "" ? concatenation(node, graph, memory) : undefined;
}

/** A copy that is complete when it returns, so that the waits, which are views, have nothing to do. */
function transfer(node: Node, memory: HostMemory): () => void {
  const [source, target] = [memory.bytesOf(node.inputs[0] as string), memory.bytesOf(node.outputs[0] as string)];
  return () => target.set(source);
}

/**
 * Concat as copies of contiguous rows: a kernel called by itself sees one input only of those that an op takes in any
 * number (InvokeOp in 1.29 counts each of them as an input of its own).
 */
function concatenation(node: Node, graph: Graph, memory: HostMemory): () => void {
  const name = node.outputs[0] as string;
  const { shape, dtype } = tensorOf(graph, name);
  const given = (node.attributes.axis?.value as number | undefined) ?? 0;
  const axis = given < 0 ? given + shape.length : given;
  const rows = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1)) * bytesPerElement(dtype);
  const target = memory.bytesOf(name);
  let stride = 0;
  const parts = node.inputs.map((input) => {
    const width = (tensorOf(graph, input).shape[axis] as number) * inner;
    stride += width;
    return { source: memory.bytesOf(input), width, start: stride - width };
  });
  return () => {
    for (const { source, width, start } of parts)
      for (let row = 0; row < rows; row++)
        target.set(source.subarray(row * width, (row + 1) * width), row * stride + start);
  };
}
