import type { Graph } from "../graph/graph.js";
import { checkModel, readModel } from "../model/read.js";
import { opOf } from "../ops/index.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { stepFor } from "../step/step.js";
import { lossOutput } from "../step/training.js";
import type { ModelOptions } from "./options.js";
import type { Run } from "./run.js";

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

/**
 * What `work` makes of a run's unplanned step built anew from the model file, with other options where it asks for them:
 * in the form of the run's device, which is not needed. Throws one line for a model that is missing or has changed, and
 * for options that do not fit it.
 */
export function withSteps<T>(run: Run, work: (stepWith: (changed: Partial<ModelOptions>) => Graph) => T): T {
  const { model } = run;
  if (run.together) throw new Error(`a step of several models is not built anew: ${model.file} (profile it again)`);
  checkModel(model.path, model.sha256);
  const runtime = formOf(run);
  try {
    return work((changed) => {
      const options = { ...model, ...changed };
      const { dims, batchNorm } = options;
      const { graph } = readModel(model.path, { dims, runtime, batchNorm, output: lossOutput(options.loss) });
      return stepFor(runtime, graph, options, run.seed).baseline;
    });
  } finally {
    runtime.close();
  }
}
