import { parseGraph } from "../src/build/text.js";
import { elementCount, type Graph, tensorOf } from "../src/graph/graph.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { lower } from "../src/step/lower.js";
import { distance, loaded } from "./sampled.js";

/** Ops of a graph in the form for a CPU with such blocks, and the farthest that its outputs are from those of the plain form. */
export async function hostForm(
  text: string,
  cpu: CpuRuntime,
  channelBlock = 1,
): Promise<{ ops: string[]; apart: number }> {
  const graph = parseGraph(text);
  const form = lower(graph, (node, tensors) => node.domain === "mutwo" || cpu.hasKernel(node, tensors), {
    channelBlock,
  });
  const ops = form.nodes.map(({ op }) => op);
  const values = new Map(
    graph.inputs.map((name, k) => [
      name,
      Array.from({ length: elementCount(tensorOf(graph, name).shape) }, (_, i) => Math.sin(i * (k + 1) + 1)),
    ]),
  );
  const run = async (lowered: Graph): Promise<ReadonlyMap<string, number[]>> => {
    const step = loaded(lowered, cpu);
    try {
      return await step.run(values);
    } finally {
      step.close();
    }
  };
  const plain = await run(lower(graph, cpu.hasKernel));
  const made = await run(lower(form, cpu.hasKernel));
  const apart = graph.outputs.map((name) => distance(made.get(name) as number[], plain.get(name) as number[]));
  return { ops, apart: Math.max(...apart) };
}
