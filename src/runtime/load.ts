import type { Graph } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import type { LoadedStep, Runtime } from "./runtime.js";

/** A graph loaded on a runtime with all its resident tensors written. */
export function loadWithValues(
  graph: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
): { step: LoadedStep; arenaBytes: number } {
  const places = layout(graph);
  const step = runtime.load(graph, places);
  try {
    for (const [name, data] of values) if (graph.tensors.has(name)) step.write(name, data);
  } catch (error) {
    step.close();
    throw error;
  }
  return { step, arenaBytes: places.arenaBytes };
}
