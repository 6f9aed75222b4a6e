import { type DType, type Graph, isFloat, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import { loadWithValues } from "../runtime/load.js";
import type { Runtime } from "../runtime/runtime.js";

/** Bytes that are copied out in one step: more nodes are looked at in further steps from the same values. */
const batchBytes = 2 ** 28;

/** Whether all elements are finite. */
export function allFinite(dtype: DType, bytes: Uint8Array): boolean {
  const numbers =
    dtype === "float32" ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : valuesOf(dtype, bytes);
  for (let i = 0; i < numbers.length; i++) if (!Number.isFinite(Number(numbers[i]))) return false;
  return true;
}

/**
 * The first node of the schedule whose output holds a NaN or an infinity in a step from these values; null if there is
 * none. Values are looked at right after each node, in several runs of the step, so that little memory is needed.
 * Random numbers are those of a step after so many `runs`.
 */
export async function firstNonFinite(
  graph: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
  runs = 0,
): Promise<Node | null> {
  const { step } = loadWithValues(graph, runtime, values);
  try {
    let rank = 0;
    while (rank < graph.nodes.length) {
      const observe = new Map<string, Node>();
      for (let bytes = 0; rank < graph.nodes.length && bytes < batchBytes; rank++) {
        const node = graph.nodes[rank] as Node;
        if (opOf(node).view) continue;
        for (const name of node.outputs) {
          const tensor = name ? tensorOf(graph, name) : undefined;
          if (!tensor || tensor.host || !isFloat(tensor.dtype)) continue;
          observe.set(name, node);
          bytes += tensorBytes(tensor);
        }
      }
      for (const [name, data] of values) if (graph.tensors.has(name)) step.write(name, data);
      step.skipTo?.(runs);
      const { observed } = await step.run({ observe: new Set(observe.keys()) });
      for (const [name, node] of observe) {
        const bytes = observed.get(name);
        if (bytes && !allFinite(tensorOf(graph, name).dtype, bytes)) return node;
      }
    }
    return null;
  } finally {
    step.close();
  }
}
