import * as batches from "../data/batches.js";
import type { Dataset } from "../data/dataset.js";
import type { Graph } from "../graph/graph.js";
import type { ProfileModelOptions } from "../run/options.js";
import * as pipeline from "../run/pipeline.js";
import * as profiling from "../run/profile.js";
import type { Run } from "../run/run.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Manifest } from "../sweep/manifest.js";
import * as sweeping from "../sweep/runner.js";
import * as training from "../train/fit.js";
import type { FitOptions } from "../train/fit-options.js";
import type { TrainingLog } from "../train/log.js";
import * as trainers from "../train/open-trainer.js";
import * as joint from "../train/open-trainers.js";
import type { Trainer, TrainerOptions } from "../train/trainer.js";
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
 * Profiles several models as one step: those of all the files, or with `copies` and `vary` several of each, as
 * `mutwo profile A.onnx B.onnx --together` does. `run.together` says what that brings against one after another, and
 * whether every model computes what it computes alone. Throws one line for wrong use or bad input.
 */
export function profileMany(files: readonly string[], options: ProfileModelOptions): Promise<Run> {
  const [first, ...others] = files;
  if (first === undefined) throw new Error("no models to train together: give the path of one at least");
  return profileModel(first, { ...options, together: others });
}

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

/** The caller's signal; in a notebook it is aborted too when the cell is interrupted. */
function withCell(signal: AbortSignal | undefined): AbortSignal | undefined {
  const own = runningKernel()?.cell?.signal;
  return own && signal ? AbortSignal.any([own, signal]) : (signal ?? own);
}

/**
 * Opens a model for training on a device: reads it, builds its step, and with a budget or a planner measures, plans and
 * checks it as `profileModel` does; with `run` a saved run's plan is taken, whose step must be the same. Training starts
 * from the file's weights, or where it holds none from seeded ones. In a notebook a bar shows how far it is, and
 * interrupting the cell ends it.
 *
 * Throws one line for wrong options and bad input, and `infeasible budget: …` where no plan fits.
 */
export const openTrainer = (file: string, options: TrainerOptions): Promise<Trainer> =>
  withProgress(options, (own) => trainers.openTrainer(file, { ...options, ...own }));

/**
 * Opens several models for training in one step: a trainer for each, as `openTrainer` gives for a model alone. Their steps meet:
 * one that was begun ends when the others' have been begun too. One that is closed drops out, and the others go on without it
 * with the same numbers. In a notebook a bar shows how far it is, and interrupting the cell ends it.
 *
 * Throws one line for wrong options and bad input, and `infeasible budget: …` where no plan fits.
 */
export const openTrainers = (file: string, options: joint.TrainersOptions): Promise<joint.NamedTrainer[]> =>
  withProgress(options, (own) => joint.openTrainers(file, { ...options, ...own }));

/**
 * Trains: epochs over the data in an order that the seed decides, until the epochs, the steps or the patience are used up,
 * the loss is not finite, or the signal asks; in a notebook interrupting the cell does. Checkpoints are whole, and a training
 * that goes on from one (`options.resume`) has the same numbers as one that was never interrupted, on the CPU bit for bit.
 * With `patience` the trainer ends with the state of the best epoch. Returns all numbers of it; how it ended stands in
 * `end`.
 *
 * Throws before the first step for options that do not fit each other or the data, for a checkpoint of another training;
 * for a step that fails one line that names the newest checkpoint.
 */
export function fit(trainer: Trainer, data: Dataset, options: FitOptions): Promise<TrainingLog> {
  const signal = withCell(options.signal);
  return training.fit(trainer, data, { ...options, ...(signal && { signal }) });
}

/**
 * An epoch of a dataset as batches that fit a model's step, shuffled by seed and epoch, read ahead while the step runs, in
 * the tensors' element types. Columns are matched to tensors by name: `target`, `label`, `labels` or `y` is the target,
 * `input`, `x` or `image` the one input of a model. In a notebook they end when the cell is interrupted. Throws where a
 * column is missing or misshapen, and where no batch can be filled; numbers that are out of range are named before the first
 * batch. Aborting throws the signal's reason.
 */
export const batchesOf = (data: Dataset, options: batches.BatchesOptions): batches.EpochBatches =>
  batches.batchesOf(data, { ...options, signal: withCell(options.signal) });

/**
 * Does the points of a sweep's manifest that have no result, in processes that stay alive from point to point. A point whose
 * process dies is tried again, as is one that failed by what may pass; what is wrong with a point for good is its result.
 * In a notebook a bar shows how far it is, and interrupting the cell ends it; what is done is kept. Throws the reason of
 * `signal`, and one line where nothing can be written.
 */
export const runSweep = (manifest: Manifest, options: sweeping.RunnerOptions = {}): Promise<void> =>
  withProgress(options, ({ onProgress, signal }) =>
    sweeping.runSweep(manifest, {
      ...options,
      ...(signal && { signal }),
      ...(onProgress && { onProgress: ({ done, total }) => onProgress("points", done, total) }),
    }),
  );
