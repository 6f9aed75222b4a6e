import type { Graph } from "../graph/graph.js";
import { fuseAttention } from "./attention.js";
import { seededGraph } from "./initial.js";
import { lowerFor, type Target } from "./lower.js";
import { type Adapt, type StepOptions, trainingStep } from "./training.js";

/** A model's training step in its two forms. */
export interface Step {
  /** As the model's ops say it: where initial values are read off. */
  readonly step: Graph;
  /** As the runtime executes it, before any planning: lowered, fused, every random node with a seed. */
  readonly baseline: Graph;
}

/** A forward graph with attentions as single nodes where the runtime has kernels for them. */
export const adaptedFor =
  (runtime: Target): Adapt =>
  (model, trained) =>
    runtime.fuses ? fuseAttention(model, trained, (node, tensors) => runtime.hasKernel(node, tensors)) : model;

/** The training step of a forward graph, as `adaptedFor` writes that. Throws what `trainingStep` does. */
export const stepOn = (runtime: Target, graph: Graph, options: StepOptions): Graph =>
  trainingStep(graph, options, adaptedFor(runtime));

/** The training step of a forward graph, ready for a runtime. Throws what `trainingStep` and `lower` do. */
export function stepFor(runtime: Target, graph: Graph, options: StepOptions, seed: number): Step {
  const step = stepOn(runtime, graph, options);
  return { step, baseline: seededGraph(lowerFor(runtime, step), seed) };
}
