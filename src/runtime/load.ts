import type { Graph } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import type { LoadedStep, Runtime } from "./runtime.js";

/** A graph loaded on a runtime with all its resident tensors written; `places` is its layout, or one like it. */
export function loadWithValues(
  graph: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
  places = layout(graph),
): { step: LoadedStep; arenaBytes: number } {
  const step = runtime.load(graph, places);
  try {
    for (const [name, data] of values) if (graph.tensors.has(name)) step.write(name, data);
  } catch (error) {
    step.close();
    throw error;
  }
  return { step, arenaBytes: places.arenaBytes };
}
