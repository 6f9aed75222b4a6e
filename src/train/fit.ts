import type { Batch } from "../data/batch.js";
import type { Dataset } from "../data/dataset.js";
import { formatMs } from "../format.js";
import { messageLine } from "../graph/message.js";
import { checkSchedule, type Schedule, scheduleOf, settledSchedule } from "../step/schedule.js";
import type { BatchesOf, Trainer, TrainerState } from "./awaited.js";
import { bestFile, checkpointFile, checkSameTraining, readCheckpoint, rotate, writeCheckpoint } from "./checkpoint.js";
import { addToCurve, addToMemory } from "./curve.js";
import type { FitOptions } from "./fit-options.js";
import { type End, type EpochRow, newLog, newPartial, type TrainingLog } from "./log.js";
import { Pace } from "./pace.js";
import { isBetter, validate } from "./validate.js";

/** Least time between two looks at what the process holds, ms. */
const memoryEveryMs = 200;

/** Longest time without letting others (a signal's handler, a notebook) have their turn, ms. */
const turnMs = 50;

/** A training under way. */
interface Course {
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
 * Trains: epochs over the data in an order that the seed decides, until the epochs, the steps or the patience are used up,
 * the loss is not finite, or the signal asks. Checkpoints are whole, and a training that goes on from one
 * (`options.resume`) has the same numbers as one that was never interrupted, on the CPU bit for bit. With `patience` the
 * trainer ends with the state of the best epoch. Returns all numbers of it; the way it ended stands in `end`.
 *
 * Throws before the first step for options that do not fit each other or the data, for a checkpoint of another training;
 * for a step that fails one line that names the newest checkpoint.
 */
export async function fit(trainer: Trainer, data: Dataset, options: FitOptions, batchesOf: BatchesOf): Promise<TrainingLog> {
  const course = begin(trainer, data, options);
  const { log, epochs } = course;
  log.end = outOfPatience(course);
  while (!log.end && log.epoch < epochs && log.steps < log.totalSteps) await trainEpoch(course, batchesOf);
  log.end ??= endOf(course);
  await finish(course, batchesOf);
  return log;
}

function begin(trainer: Trainer, data: Dataset, options: FitOptions): Course {
  const { schedule = "constant", seed = 0, last = "drop", monitor = "loss", metrics = [], resume } = options;
  checkSchedule(schedule);
  if (options.epochs === undefined && options.steps === undefined)
    throw new Error("how long to train is not said: pass epochs or steps");
  if (options.patience !== undefined && !options.validate)
    throw new Error(`nothing is validated to wait for: patience ${options.patience}`);
  if (monitor !== "loss" && !metrics.includes(monitor))
    throw new Error(`monitor is not a metric: ${monitor} (one of ${["loss", ...metrics].join(", ")})`);
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
    metrics: metrics.join(", "),
    ...options.settings,
  };
  const base = trainer.learningRate;
  const memory = trainer.processBytes ? "device" : "resident";
  const fresh = newLog({ batchSize: trainer.batchSize, epochSteps, totalSteps, monitor, memory });
  if (resume) {
    checkSameTraining(resume, settings);
    trainer.load(resume.state);
  }
  // a training that had ended may go on to more epochs
  const log: TrainingLog = resume ? { ...structuredClone(resume.log), totalSteps, end: null } : fresh;
  log.stretches.push({ startedAt: new Date().toISOString(), from: log.steps });
  const pace = new Pace();
  const schedule_ = scheduleOf(schedule, length);
  const bestState = undefined;
  return { trainer, data, options, log, settings, epochs, schedule: schedule_, base, pace, saved: resume?.file, bestState };
}

/** What is known of data without reading it: another file with the same would go unnoticed. */
const describeData = ({ name, count, columns }: Dataset): string =>
  `${name}, ${count} samples of ${columns.map((one) => `${one.name} ${one.dtype}[${one.shape}]`).join(", ")}`;

/** Goes on with the epoch under way to its end, or until the training ends. */
async function trainEpoch(course: Course, batchesOf: BatchesOf): Promise<void> {
  const { trainer, data, options, log, pace } = course;
  const { seed = 0, last = "drop", signal } = options;
  const from = log.batch;
  const place = { batch: trainer.batch, batchSize: trainer.batchSize };
  let turn = performance.now();
  pace.start();
  if (from < log.epochSteps)
    for await (const batch of batchesOf(data, { ...place, shuffle: seed, epoch: log.epoch, from, last })) {
      if (signal?.aborted) break;
      await trainStep(course, batch);
      if (log.end || log.steps >= log.totalSteps) break;
      if (performance.now() - turn > turnMs) {
        await new Promise(setImmediate);
        turn = performance.now();
      }
      if (signal?.aborted) break;
      const every = options.checkpoints?.everySteps;
      if (every && log.steps % every === 0 && log.batch < log.epochSteps) save(course);
    }
  if (log.end) return;
  if (signal?.aborted) {
    log.end = interrupted(log);
    return;
  }
  if (log.batch < log.epochSteps) return; // the steps are used up in the middle of an epoch: endOf says so
  await endEpoch(course, batchesOf);
}

/** One step with all that is noted of it. */
async function trainStep(course: Course, batch: { readonly tensors: Batch; readonly samples: number }): Promise<void> {
  const { trainer, options, log, schedule, base, pace } = course;
  const rate = schedule(base, log.steps);
  if (rate !== trainer.learningRate) trainer.setLearningRate(rate);
  let loss: number;
  let stepMs: number;
  try {
    ({ loss, stepMs } = await trainer.step(batch.tensors));
  } catch (error) {
    throw failedStep(course, error as Error);
  }
  log.steps++;
  log.batch++;
  log.partial.samples += batch.samples;
  const wallMs = pace.step();
  log.partial.ms += wallMs;
  if (!Number.isFinite(loss)) {
    log.end = { reason: "not finite", text: await notFinite(course, loss) };
    return;
  }
  log.partial.lossSum += loss;
  log.partial.losses++;
  const { curves } = log;
  addToCurve(curves.loss, loss);
  addToCurve(curves.learningRate, rate);
  addToCurve(curves.stepMs, stepMs);
  addToCurve(curves.wallMs, wallMs);
  if (pace.isDue(memoryEveryMs)) addToMemory(log.memory, log.steps, heldBytes(trainer));
  options.onStep?.({
    step: log.steps,
    steps: log.totalSteps,
    epoch: log.epoch + 1,
    epochs: options.epochs ?? null,
    loss,
    learningRate: rate,
    stepMs,
    samplesPerSecond: pace.samplesPerSecond(log.batchSize),
    leftMs: pace.leftMs(log.steps, log.totalSteps),
  });
}

/** What the process holds now, bytes: on its device, or in memory. */
const heldBytes = (trainer: Trainer): number => trainer.processBytes?.() ?? process.memoryUsage.rss();

async function notFinite({ trainer, log }: Course, loss: number): Promise<string> {
  let made: string | null = null;
  try {
    made = await trainer.culprit();
  } catch {} // the device is gone, say: the loss is said all the same
  const first = made === null ? "" : `; first made by ${made}`;
  return `the loss of step ${log.steps} is ${loss}${first}`;
}

/** A step's error with where the training stands. */
function failedStep({ log, saved }: Course, error: Error): Error {
  const from = saved === undefined ? "there is no checkpoint" : `the newest checkpoint is ${saved}`;
  return new Error(messageLine(`step ${log.steps + 1}: ${error.message}; ${from}`), { cause: error });
}

const interrupted = (log: TrainingLog): End => ({ reason: "interrupted", text: `interrupted after step ${log.steps}` });

/** Ends an epoch whose steps are done: validates, notes it, keeps the best state, writes the checkpoint. */
async function endEpoch(course: Course, batchesOf: BatchesOf): Promise<void> {
  const { options, log, epochs } = course;
  const row = await epochRow(course, batchesOf);
  if (!row) {
    log.end = interrupted(log);
    return;
  }
  log.epochs.push(row);
  options.onEpoch?.(row);
  log.epoch++;
  log.batch = 0;
  log.partial = newPartial();
  noteBest(course, row);
  log.end = outOfPatience(course);
  const { everySteps, everyEpoch } = options.checkpoints ?? {};
  const isDue = everyEpoch || (everySteps && log.steps % everySteps === 0);
  if (isDue && log.epoch < epochs && !log.end) save(course);
}

/** How a training ends whose validation has not improved for as many epochs as it was to wait. */
function outOfPatience({ log, options, epochs }: Course): End | null {
  const waited = log.epoch - (log.best?.epoch ?? 0);
  if (options.patience === undefined || waited < options.patience || log.epoch >= epochs) return null;
  const best = log.best ? `; the best was epoch ${log.best.epoch}` : "";
  const text = `ended after epoch ${log.epoch}: ${log.monitor} has not improved for ${waited} epochs${best}`;
  return { reason: "patience", text };
}

/** What an epoch came to until here; undefined if it was interrupted while validating. */
async function epochRow(course: Course, batchesOf: BatchesOf): Promise<EpochRow | undefined> {
  const { trainer, options, log, pace } = course;
  const { partial } = log;
  const start = performance.now();
  const validation = options.validate ? await validate(trainer, options.validate, options, batchesOf) : null;
  if (validation === undefined) return undefined;
  const validationMs = performance.now() - start;
  pace.validated(validationMs, log.epochSteps);
  return {
    epoch: log.epoch + 1,
    step: log.steps,
    samples: partial.samples,
    loss: partial.losses ? partial.lossSum / partial.losses : null,
    learningRate: trainer.learningRate,
    trainMs: partial.ms,
    validation,
    validationMs: options.validate ? validationMs : 0,
  };
}

/**
 * Notes an epoch that is the best so far. With patience its state is kept: beside the checkpoints, or in memory where there
 * are none or the disk is full.
 */
function noteBest(course: Course, { epoch, step, validation }: EpochRow): void {
  const { trainer, options, log, settings } = course;
  const value = validation?.[log.monitor] ?? null;
  if (value === null || (log.best !== null && !isBetter(log.monitor, value, log.best.value))) return;
  log.best = { epoch, step, value };
  if (options.patience === undefined) return;
  if (!options.checkpoints) {
    course.bestState = trainer.state();
    return;
  }
  const file = bestFile(options.checkpoints.folder, step);
  try {
    writeCheckpoint({ file, state: trainer.state(), log, settings });
    course.bestState = undefined;
  } catch (error) {
    course.bestState = trainer.state();
    warn(course, `the best state is kept in memory only: ${(error as Error).message}`);
  }
}

/** Writes a checkpoint; one that cannot be written is said, and the training goes on. */
function save(course: Course): void {
  const { trainer, options, log, settings } = course;
  if (!options.checkpoints) return;
  const { folder, keep } = options.checkpoints;
  const file = checkpointFile(folder, log.steps);
  try {
    writeCheckpoint({ file, state: trainer.state(), log, settings });
    course.saved = file;
    rotate(folder, log.steps, keep);
  } catch (error) {
    const old = course.saved === undefined ? "there is none" : `the newest is ${course.saved}`;
    warn(course, `no checkpoint after step ${log.steps}: ${(error as Error).message}; ${old}`);
  }
}

function warn({ log, options }: Course, line: string): void {
  log.warnings.push(line);
  options.onWarning?.(line);
}

/** Why a training that was not stopped ended. */
function endOf({ log, epochs, options }: Course): End {
  if (log.epoch >= epochs) return { reason: "finished", text: `${epochs} ${epochs === 1 ? "epoch" : "epochs"} done` };
  return { reason: "steps", text: `${options.steps} steps done` };
}

/** What is left to do at the end: a checkpoint to go on from, the row of an epoch that was cut short, the best state. */
async function finish(course: Course, batchesOf: BatchesOf): Promise<void> {
  const { trainer, options, log } = course;
  const { reason } = log.end as End;
  if (reason === "not finite") return; // its parameters are worth nothing
  const { everySteps, everyEpoch } = options.checkpoints ?? {};
  if (everySteps || everyEpoch || reason === "interrupted") save(course);
  if (reason === "interrupted") return;
  if (reason === "steps" && log.batch > 0) {
    const row = await epochRow(course, batchesOf);
    if (row) {
      log.epochs.push(row);
      options.onEpoch?.(row);
      noteBest(course, row);
    }
  }
  if (options.patience === undefined || !log.best) return;
  if (course.bestState) trainer.load(course.bestState);
  else if (options.checkpoints) trainer.load(readCheckpoint(bestFile(options.checkpoints.folder, log.best.step)).state);
}

/** How a training went, in a few words: `3 epochs, 1200 steps in 4.31 s`. */
export const inWords = ({ epochs, steps, curves }: TrainingLog): string => {
  const { values, stride, sum } = curves.wallMs;
  const ms = values.reduce((all, value) => all + value * stride, sum);
  return `${epochs.length} ${epochs.length === 1 ? "epoch" : "epochs"}, ${steps} steps in ${formatMs(ms)}`;
};
