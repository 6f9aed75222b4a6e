import type { Graph } from "../graph/graph.js";
import { checkModel, readModel } from "../model/read.js";
import { opOf } from "../ops/index.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { stepFor } from "../step/step.js";
import { lossOutput } from "../step/training.js";
import { jointGraph } from "./arrange.js";
import { buildTrials } from "./build-trials.js";
import type { ModelOptions } from "./options.js";
import type { Run } from "./run.js";
import type { Arranged, Together, TrialInfo } from "./together.js";
import type { TrialSpec } from "./trials.js";

/** The device's form of steps without the device: of a GPU that which is described, whatever its speed. */
function formOf({ before, graph }: Run): Runtime {
  if (before.backend === "cpu") return openRuntime("cpu");
  const deterministic = before.device.settings?.deterministic === "yes";
  const tf32 = before.device.settings?.TF32 !== "off";
  const { layoutGains, ...plain } = openRuntime("estimate", { deviceSpec: "h100", deterministic, tf32 });
  // steps of older versions have the channels of their images first
  const isLast = graph.nodes.some((node) => opOf(node).channelsFirst !== undefined);
  return isLast && layoutGains ? { ...plain, layoutGains } : plain;
}

/** The options of one of several models with others in the place of some; dimensions are those that its file has. */
function changedOptions(
  { dims, name, varied, ...own }: TrialInfo,
  changed: Partial<ModelOptions>,
): TrialSpec["options"] {
  const wanted = Object.entries(changed.dims ?? {}).filter(([dim]) => Object.hasOwn(dims, dim));
  const differing = wanted.find(([dim, size]) => Object.hasOwn(varied, `dim.${dim}`) && dims[dim] !== size);
  if (differing) throw new Error(`models of the run differ in ${differing[0]}: it cannot be one size (model ${name})`);
  const { together: _, copies: _copies, vary: _vary, arrange: _arrange, ...options } = changed;
  return { ...own, ...options, dims: { ...dims, ...Object.fromEntries(wanted) } };
}

/** A run's joint step built anew from its model files, arranged as the one that was executed. */
function jointStep(together: Together, runtime: Runtime, changed: Partial<ModelOptions>): Graph {
  const { trials, arranged, executed } = together;
  const ms = ({ measuredMs, predictedMs }: Arranged): number => measuredMs ?? predictedMs ?? Number.POSITIVE_INFINITY;
  const { subArrays, lanes } = arranged
    .filter(({ arrangement }) => arrangement === executed)
    .reduce((best, one) => (ms(one) < ms(best) ? one : best));
  const specs = trials.map((trial): TrialSpec => {
    const { name, path: file, seed, varied } = trial;
    return { name, file, options: changedOptions(trial, changed), seed, varied };
  });
  return jointGraph(runtime, buildTrials(specs, runtime), subArrays, lanes);
}

/**
 * What `work` makes of a run's unplanned step built anew from the model file, with other options where it asks for them:
 * in the form of the run's device, which is not needed. Throws one line for a model that is missing or has changed, and
 * for options that do not fit it.
 */
export function withSteps<T>(run: Run, work: (stepWith: (changed: Partial<ModelOptions>) => Graph) => T): T {
  const { model, together } = run;
  if (together?.executed === "multiplexed")
    throw new Error(`a multiplexed step is not built anew: ${model.file} (profile it again)`);
  for (const { path, sha256 } of together?.trials ?? [model]) checkModel(path, sha256);
  const runtime = formOf(run);
  try {
    return work((changed) => {
      if (together) return jointStep(together, runtime, changed);
      const options = { ...model, ...changed };
      const { dims, batchNorm } = options;
      const { graph } = readModel(model.path, { dims, runtime, batchNorm, output: lossOutput(options.loss) });
      return stepFor(runtime, graph, options, run.seed).baseline;
    });
  } finally {
    runtime.close();
  }
}
