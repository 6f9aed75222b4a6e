import { type Graph, tensorOf } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import type { LoadedStep, Measurement, MeasureOptions } from "./runtime.js";

/** The loss as a number; null if the graph has none or it is not finite. */
export function readLoss(graph: Graph, read: (name: string) => Uint8Array): number | null {
  if (!graph.loss) return null;
  const value = valuesOf(tensorOf(graph, graph.loss).dtype, read(graph.loss))[0] as number;
  return Number.isFinite(value) ? value : null;
}

/**
 * Measures a step whose host and device are one. Whole steps and steps with a timer at each node alternate, so that
 * both see the same machine.
 */
export async function measureOnHost(
  graph: Graph,
  step: Pick<LoadedStep, "run" | "read">,
  workspaceBytes: () => Promise<Float64Array | null>,
  { iterations, warmups, signal, onProgress }: MeasureOptions,
): Promise<Measurement> {
  const nodeSamples: Float64Array[] = [];
  const stepSamples: number[] = [];
  const losses: (number | null)[] = [];
  const total = warmups + 2 * iterations;
  for (let i = 0; i < total; i++) {
    const timeNodes = i >= warmups && (i - warmups) % 2 === 0;
    const result = await step.run({ timeNodes, signal });
    if (timeNodes) nodeSamples.push(result.nodeMs);
    else if (i >= warmups) stepSamples.push(result.stepMs);
    losses.push(readLoss(graph, step.read));
    onProgress?.(i + 1, total);
  }
  const workspace = await workspaceBytes();
  return {
    nodes: graph.nodes.map((_, rank) => nodeSamples.map((sample) => sample[rank] as number)),
    step: stepSamples,
    eagerStep: null,
    workspaceBytes: workspace && [...workspace],
    memory: null,
    copies: null,
    losses,
  };
}
