import path from "node:path";
import { elementCount, type Graph, producers, tensorBytes } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import { type BoundModel, readModel, sha256Of } from "../model/read.js";
import { checkHostMemory } from "../runtime/host-memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { initialValues } from "../step/initial.js";
import { type Step, stepFor } from "../step/step.js";
import { lossOutput, type StepOptions } from "../step/training.js";
import { heldNotes, untrainedParameters } from "./notes.js";
import { modelOptions, withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import { keptNames } from "./replan.js";
import type { ModelInfo } from "./run.js";

/** A model's training step, built for a runtime. */
export interface BuiltStep extends Step {
  readonly bound: BoundModel;
  /** First values of what no node makes, by name; empty where nothing is executed. */
  readonly values: Map<string, Uint8Array>;
}

/** Whether a runtime computes anything. */
export const executes = ({ backend }: Runtime): boolean => backend !== "estimate" && backend !== "replay";

/**
 * Reads a model and builds its training step for a runtime, with learning rates as constants or as tensors. Throws one
 * line for bad input, for patterns of kept activations without a match, and on a CPU that lacks memory.
 */
export function buildStep(
  file: string,
  runtime: Runtime,
  options: ProfileModelOptions,
  rates?: StepOptions["rates"],
): BuiltStep {
  const { seed, dims, batchNorm, onProgress: progress = () => {} } = withDefaults(options);
  progress("read model", 0, 1);
  const bound = readModel(file, { dims, runtime, batchNorm, output: lossOutput(options.loss) });
  progress("build step", 0, 1);
  const { step, baseline } = stepFor(runtime, bound.graph, { ...options, rates }, seed);
  keptNames(baseline, options); // a pattern without a match is refused before anything is measured
  // before values are made for it
  if (runtime.backend === "cpu") checkHostMemory(layout(baseline).arenaBytes + givenBytes(baseline));
  const values = executes(runtime) ? initialValues(baseline, step, seed) : new Map<string, Uint8Array>();
  return { bound, step, baseline, values };
}

/** What the run says of its model: the file, the options that shaped the step, and what a user should know of both. */
export function modelInfo(
  file: string,
  { graph, model, untrained, notes }: BoundModel,
  step: Graph,
  options: ProfileModelOptions & { readonly dims: ModelInfo["dims"] },
): ModelInfo {
  const parameters = [...graph.tensors.values()].filter((tensor) => tensor.category === "parameter");
  const leftAlone = untrainedParameters(parameters, step, options.freeze ?? []);
  return {
    file: path.basename(file),
    path: file,
    sha256: sha256Of(file),
    opset: model.opset,
    producer: model.producer,
    dims: options.dims,
    ...modelOptions(options),
    parameters: parameters.reduce((sum, t) => sum + elementCount(t.shape), 0),
    parameterBytes: parameters.reduce((sum, t) => sum + tensorBytes(t), 0),
    untrained: [...untrained, ...leftAlone.untrained],
    notes: [...notes, ...heldNotes(untrained), ...leftAlone.notes],
  };
}

/** Bytes of what no node makes: first values of it lie beside the arena. */
export function givenBytes(graph: Graph): number {
  const made = producers(graph);
  let bytes = 0;
  for (const tensor of graph.tensors.values()) if (!made.has(tensor.name)) bytes += tensorBytes(tensor);
  return bytes;
}
