import type { Graph } from "../graph/graph.js";
import { seededGraph } from "./initial.js";
import { lowerFor, type Target } from "./lower.js";
import { type TrainingOptions, trainingStep } from "./training.js";

/** A model's training step in its two forms. */
export interface Step {
  /** As the model's ops say it: where initial values are read off. */
  readonly step: Graph;
  /** As the runtime executes it, before any planning: lowered, fused, every random node with a seed. */
  readonly baseline: Graph;
}

/** The training step of a forward graph, ready for a runtime. Throws what `trainingStep` and `lower` do. */
export function stepFor(runtime: Target, graph: Graph, options: TrainingOptions, seed: number): Step {
  const step = trainingStep(graph, options);
  return { step, baseline: seededGraph(lowerFor(runtime, step), seed) };
}
