import * as batches from "../data/batches.js";
import type { Dataset } from "../data/dataset.js";
import type { Graph } from "../graph/graph.js";
import type { ProfileModelOptions } from "../run/options.js";
import * as pipeline from "../run/pipeline.js";
import * as profiling from "../run/profile.js";
import type { Run } from "../run/run.js";
import type { Runtime } from "../runtime/runtime.js";
import { runningKernel } from "./cell.js";
import { withProgress } from "./progress.js";

/**
 * The whole path: reads the model, builds its training step, profiles it, plans for the budget, executes the plan and
 * compares. Writes nothing. In a notebook a bar shows how far it is, and interrupting the cell ends it. Throws one line
 * for wrong use or bad input; an infeasible budget is an answer, not an error.
 */
export const profileModel = (file: string, options: ProfileModelOptions): Promise<Run> =>
  withProgress(options, (own) => pipeline.profileModel(file, { ...options, ...own }));

/**
 * Measures a training step on a runtime and derives its tables. Every iteration is a real step: parameters change. In a
 * notebook a bar shows how far it is, and interrupting the cell ends it.
 */
export const profileGraph = (
  graph: Graph,
  runtime: Runtime,
  options: profiling.ProfileOptions,
): Promise<profiling.Profile> =>
  withProgress(options, ({ onProgress, signal }) =>
    profiling.profileGraph(graph, runtime, {
      ...options,
      ...(signal && { signal }),
      ...(onProgress && { onProgress: (done, total) => onProgress("measure", done, total) }),
    }),
  );

/**
 * An epoch of a dataset as batches that fit a model's step, shuffled by seed and epoch, read ahead while the step runs, in
 * the tensors' element types. Columns are matched to tensors by name: `target`, `label`, `labels` or `y` is the target,
 * `input`, `x` or `image` the one input of a model. In a notebook they end when the cell is interrupted. Throws where a
 * column is missing or misshapen, and where no batch can be filled; numbers that are out of range are named before the first
 * batch. Aborting throws the signal's reason.
 */
export function batchesOf(data: Dataset, options: batches.BatchesOptions): batches.EpochBatches {
  const own = runningKernel()?.cell?.signal;
  const { signal = own } = options;
  return batches.batchesOf(data, { ...options, signal: own && signal ? AbortSignal.any([own, signal]) : signal });
}
