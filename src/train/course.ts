import { existsSync } from "node:fs";
import path from "node:path";
import type { Dataset } from "../data/dataset.js";
import { checkScheduleFits, type Schedule, scheduleOf, settledSchedule } from "../step/schedule.js";
import { isSameFile } from "../writing.js";
import { bestFile, checkSameTraining, readCheckpoint } from "./checkpoint.js";
import type { FitOptions } from "./fit-options.js";
import { newLog, type TrainingLog } from "./log.js";
import { Pace } from "./pace.js";
import type { Trainer, TrainerState } from "./trainer.js";
import { metricsFor } from "./validate.js";

/** A training under way. */
export interface Course {
  readonly trainer: Trainer;
  readonly data: Dataset;
  readonly options: FitOptions;
  readonly log: TrainingLog;
  readonly settings: Readonly<Record<string, string>>;
  readonly epochs: number;
  readonly schedule: Schedule;
  /** The optimizer's own learning rate. */
  readonly base: number;
  readonly pace: Pace;
  /** The newest checkpoint that is whole. */
  saved: string | undefined;
  /** The state of the best epoch where no folder holds it. */
  bestState: TrainerState | undefined;
}

/** Steps of one epoch: whole batches, and with padding the one that the rest begins. Throws where there are none. */
export function stepsOfEpoch({ name, count }: Dataset, batchSize: number, last: "drop" | "pad"): number {
  if (count === 0) throw new Error(`data has no samples: ${name}`);
  if (last === "pad") return Math.ceil(count / batchSize);
  if (count < batchSize)
    throw new Error(
      `data has fewer samples than a step takes: ${count} of ${batchSize} in ${name} (bind a smaller batch, or pass --last pad)`,
    );
  return Math.floor(count / batchSize);
}

/**
 * A training before its next step, a new one or one that goes on. Throws for options that do not fit each other or the
 * data, and for a checkpoint of another training.
 */
export function beginCourse(trainer: Trainer, data: Dataset, options: FitOptions): Course {
  const { schedule = "constant", seed = 0, last = "drop", monitor = "loss", resume } = options;
  if (options.epochs === undefined && options.steps === undefined)
    throw new Error("how long to train is not said: pass epochs or steps");
  if (options.patience !== undefined && !options.validate)
    throw new Error(`patience of ${options.patience} epochs, and nothing is validated: pass validate`);
  if (options.validate) {
    const { names } = metricsFor(trainer, options);
    if (!names.includes(monitor))
      throw new Error(`monitor is not among the metrics: ${monitor} (one of ${names.join(", ")})`);
  }
  const epochSteps = stepsOfEpoch(data, trainer.batchSize, last);
  if (options.validate && options.validate.count === 0)
    throw new Error(`validation data has no samples: ${options.validate.name}`);
  const epochs = options.epochs ?? Number.POSITIVE_INFINITY;
  const totalSteps = Math.min(epochs * epochSteps, options.steps ?? Number.POSITIVE_INFINITY);
  const length = { total: totalSteps, epoch: epochSteps };
  const settings = {
    model: trainer.modelSha256,
    "samples per step": String(trainer.batchSize),
    data: describeData(data),
    ...(options.validate ? { "validation data": describeData(options.validate) } : {}),
    seed: String(seed),
    schedule: settledSchedule(schedule, length),
    last,
    monitor,
    ...options.settings,
  };
  const base = trainer.learningRate;
  checkScheduleFits(schedule, base);
  const memory = trainer.processBytes ? "device" : "resident";
  const fresh = newLog({ batchSize: trainer.batchSize, epochSteps, totalSteps, monitor, memory });
  if (resume) {
    checkSameTraining(resume, settings);
    trainer.load(resume.state);
  }
  // a training that had ended may go on to more epochs
  const log: TrainingLog = resume ? { ...structuredClone(resume.log), totalSteps, end: null } : fresh;
  log.stretches.push({ startedAt: new Date().toISOString(), from: log.steps });
  return {
    trainer,
    data,
    options,
    log,
    settings,
    epochs,
    schedule: scheduleOf(schedule, length),
    base,
    pace: new Pace(),
    saved: resume?.file,
    bestState: bestOfResumed(options),
  };
}

/** What is known of data without reading it: another file with the same would go unnoticed. */
const describeData = ({ name, count, columns }: Dataset): string =>
  `${name}, ${count} samples of ${columns.map((one) => `${one.name} ${one.dtype}[${one.shape}]`).join(", ")}`;

/** The state of the best epoch beside a checkpoint, where the training's own folder will not hold it. */
function bestOfResumed({ resume, patience, checkpoints }: FitOptions): TrainerState | undefined {
  const best = resume?.log.best;
  if (!resume || !best || patience === undefined) return undefined;
  const folder = path.dirname(resume.file);
  const file = bestFile(folder, best.step);
  if (!existsSync(file))
    throw new Error(
      `the state of the best epoch, ${best.epoch}, is missing beside the checkpoint: ${file} (go on without patience)`,
    );
  return checkpoints && isSameFile(folder, checkpoints.folder) ? undefined : readCheckpoint(file).state;
}
