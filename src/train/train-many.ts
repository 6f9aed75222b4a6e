import type { Dataset } from "../data/dataset.js";
import { fit } from "./fit.js";
import type { FitOptions } from "./fit-options.js";
import type { EpochRow, TrainingLog } from "./log.js";
import { type NamedTrainer, openTrainers, type TrainersOptions } from "./open-trainers.js";
import type { Trainer } from "./trainer.js";

/** What `trainMany` takes: what `openTrainers` does, and of `fit` what holds for every model. */
export interface TrainManyOptions
  extends TrainersOptions,
    Pick<FitOptions, "epochs" | "steps" | "schedule" | "last" | "validate" | "metrics" | "monitor" | "patience"> {
  /** Told after each epoch of a model; one for which it returns false is dropped, and the others go on without it. */
  readonly onModelEpoch?: (name: string, row: EpochRow) => boolean | undefined;
  /** Where a model is written once it is trained or dropped; undefined for one that is not kept. Default: nothing is written. */
  readonly out?: (name: string) => string | undefined;
}

/** What became of one of several models. */
export interface TrainedOfMany extends Pick<NamedTrainer, "name" | "varied" | "seed"> {
  readonly log: TrainingLog;
  /** The model was dropped by `onModelEpoch`. */
  readonly dropped: boolean;
  /** File of the trained model; null where none was asked for. */
  readonly out: string | null;
}

/**
 * Trains several models in one step, each as `fit` trains one alone: its own order of the data by its seed, its own
 * validation, patience and end. One that ends before the others, by its patience or because `onModelEpoch` returns false, drops
 * out, and the others' numbers do not change. `dataOf` gives the data of a model; several may share a dataset.
 *
 * Throws what `openTrainers` and `fit` throw; all models are closed then.
 */
export async function trainMany(
  file: string,
  dataOf: Dataset | ((model: NamedTrainer) => Dataset),
  options: TrainManyOptions,
): Promise<TrainedOfMany[]> {
  const { epochs, steps, schedule, last, validate, metrics, monitor, patience, onModelEpoch, out, ...opening } =
    options;
  const fitting = { epochs, steps, schedule, last, validate, metrics, monitor, patience, loss: options.loss };
  const given = Object.fromEntries(Object.entries(fitting).filter(([, value]) => value !== undefined));
  return eachTogether(await openTrainers(file, opening), async (model): Promise<TrainedOfMany> => {
    const { name, varied, seed, trainer } = model;
    const stop = new AbortController();
    const log = await fit(trainer, typeof dataOf === "function" ? dataOf(model) : dataOf, {
      ...given,
      seed,
      signal: opening.signal ? AbortSignal.any([opening.signal, stop.signal]) : stop.signal,
      onEpoch: (row) => {
        if (onModelEpoch?.(name, row) === false) stop.abort();
      },
    });
    const place = out?.(name);
    if (place !== undefined) trainer.save(place);
    return { name, varied, seed, log, dropped: stop.signal.aborted, out: place ?? null };
  });
}

/**
 * What `train` gives for each of some models, at the same time, for their steps may meet. A model is closed when its training
 * has ended, so that the others go on without it; where one throws, all are.
 */
export async function eachTogether<M extends { readonly trainer: Trainer }, T>(
  models: readonly M[],
  train: (model: M) => Promise<T>,
): Promise<T[]> {
  const all = models.map((model) => train(model).finally(() => model.trainer.close()));
  try {
    return await Promise.all(all);
  } finally {
    for (const { trainer } of models) trainer.close();
    await Promise.allSettled(all);
  }
}
