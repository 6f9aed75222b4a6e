import type { Graph } from "../graph/graph.js";

/**
 * The graph without the values that the file has for the tensors that are `held` elsewhere; those of others are copies, for
 * a view of a file's bytes keeps all of them in memory.
 */
export function withoutData(graph: Graph, held: (name: string) => boolean): Graph {
  const tensors = new Map(graph.tensors);
  for (const [name, tensor] of tensors) {
    const { data, ...rest } = tensor;
    if (!data) continue;
    if (held(name)) tensors.set(name, rest);
    else if (data.buffer.byteLength > data.length) tensors.set(name, { ...tensor, data: new Uint8Array(data) });
  }
  return { ...graph, tensors };
}
