import type { Batch } from "../data/batch.js";
import { batchesOf, type EpochBatches } from "../data/batches.js";
import type { Dataset } from "../data/dataset.js";
import { messageLine } from "../graph/message.js";
import { beginCourse, type Course } from "./course.js";
import { addToCurve, addToMemory } from "./curve.js";
import type { FitOptions } from "./fit-options.js";
import { loadBest, noteBest, saveCheckpoint } from "./keeping.js";
import { type End, type EpochRow, newPartial, type TrainingLog } from "./log.js";
import type { Trainer } from "./trainer.js";
import { validate } from "./validate.js";

/** Least time between two looks at what the process holds, ms. */
const memoryEveryMs = 200;

/** Longest time without letting others (a signal's handler, a notebook) have their turn, ms. */
const turnMs = 50;

/**
 * Trains: epochs over the data in an order that the seed decides, until the epochs, the steps or the patience are used up,
 * the loss is not finite, or the signal asks. Checkpoints are whole, and a training that goes on from one
 * (`options.resume`) has the same numbers as one that was never interrupted, on the CPU bit for bit. With `patience` the
 * trainer ends with the state of the best epoch. Returns all numbers of it; the way it ended stands in `end`.
 *
 * Throws before the first step for options that do not fit each other or the data, for a checkpoint of another training;
 * for a step that fails one line that names the newest checkpoint.
 */
export async function fit(trainer: Trainer, data: Dataset, options: FitOptions): Promise<TrainingLog> {
  const course = beginCourse(trainer, data, options);
  const { log, epochs } = course;
  log.end = outOfPatience(course);
  try {
    // an epoch whose steps are all done may have been interrupted before its end
    const isLeft = (): boolean => log.steps < log.totalSteps || log.batch === log.epochSteps;
    while (!log.end && log.epoch < epochs && isLeft()) await trainEpoch(course);
    log.end ??= endOf(course);
    await finish(course);
  } catch (error) {
    throw course.saved === undefined ? error : withCheckpoint(error as Error, course.saved);
  }
  return log;
}

/** Goes on with the epoch under way to its end, or until the training ends. */
async function trainEpoch(course: Course): Promise<void> {
  const { trainer, data, options, log, pace } = course;
  const { seed = 0, last = "drop", signal } = options;
  const from = log.batch;
  const place = { batch: trainer.batch, batchSize: trainer.batchSize };
  pace.start();
  if (from < log.epochSteps)
    await trainBatches(course, batchesOf(data, { ...place, shuffle: seed, epoch: log.epoch, from, last, reuse: true }));
  if (log.end) return;
  if (signal?.aborted) {
    log.end = interrupted(log);
    return;
  }
  if (log.batch < log.epochSteps) return; // the steps are used up in the middle of an epoch: endOf says so
  await endEpoch(course);
}

/** Trains on batches until there are no more or the training ends; the next one is read and handed over while a step runs. */
async function trainBatches(course: Course, batches: EpochBatches): Promise<void> {
  const { trainer, options, log } = course;
  const { signal, checkpoints } = options;
  const reader = batches[Symbol.asyncIterator]();
  let turn = performance.now();
  try {
    let next = await reader.next();
    while (!next.done && !signal?.aborted) {
      const step = trainStep(course, next.value);
      const isLast = log.steps + 1 >= log.totalSteps;
      const following = isLast ? undefined : prepared(trainer, reader.next());
      const [stepped, read] = await Promise.allSettled([step, following]);
      if (stepped.status === "rejected") throw stepped.reason;
      if (read.status === "rejected") throw read.reason;
      if (log.end || !read.value) return;
      if (performance.now() - turn > turnMs) {
        await new Promise(setImmediate);
        turn = performance.now();
      }
      const every = checkpoints?.everySteps;
      if (every && log.steps % every === 0 && log.batch < log.epochSteps && !signal?.aborted) saveCheckpoint(course);
      next = read.value;
    }
  } finally {
    await reader.return?.();
  }
}

/** The batch that is read, handed over to the trainer. */
async function prepared<Read extends IteratorResult<{ readonly tensors: Batch }, void>>(
  trainer: Trainer,
  reading: Promise<Read>,
): Promise<Read> {
  const read = await reading;
  if (!read.done) trainer.prepare(read.value.tensors);
  return read;
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
    throw new Error(messageLine(`step ${log.steps + 1}: ${(error as Error).message}`), { cause: error });
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
  return `the loss of step ${log.steps} is ${loss}${made === null ? "" : `: ${made}`}`;
}

/** An error with where the training can go on from. */
const withCheckpoint = (error: Error, saved: string): Error =>
  new Error(messageLine(`${error.message}; the newest checkpoint is ${saved}`), { cause: error });

const interrupted = (log: TrainingLog): End => ({ reason: "interrupted", text: `interrupted after step ${log.steps}` });

/** Ends an epoch whose steps are done: validates, notes it, keeps the best state, writes the checkpoint. */
async function endEpoch(course: Course): Promise<void> {
  const { options, log, epochs } = course;
  const row = await epochRow(course);
  if (!row) {
    log.end = interrupted(log);
    return;
  }
  log.epochs.push(row);
  addToMemory(log.memory, log.steps, heldBytes(course.trainer));
  options.onEpoch?.(row);
  log.epoch++;
  log.batch = 0;
  log.partial = newPartial();
  noteBest(course, row);
  log.end = outOfPatience(course);
  const { everySteps, everyEpoch } = options.checkpoints ?? {};
  const isDue = everyEpoch || (everySteps && log.steps % everySteps === 0);
  if (isDue && log.epoch < epochs && !log.end) saveCheckpoint(course);
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
async function epochRow(course: Course): Promise<EpochRow | undefined> {
  const { trainer, options, log, pace } = course;
  const { partial } = log;
  const start = performance.now();
  const validation = options.validate ? await validate(trainer, options.validate, options) : null;
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

/** Why a training that was not stopped ended. */
function endOf({ log, epochs, options }: Course): End {
  if (log.epoch >= epochs) return { reason: "finished", text: `${epochs} ${epochs === 1 ? "epoch" : "epochs"} done` };
  return { reason: "steps", text: `${options.steps} steps done` };
}

/** What is left to do at the end: a checkpoint to go on from, the row of an epoch that was cut short, the best state. */
async function finish(course: Course): Promise<void> {
  const { options, log } = course;
  const { reason } = log.end as End;
  if (reason === "not finite") return; // its parameters are worth nothing
  const { everySteps, everyEpoch } = options.checkpoints ?? {};
  if (everySteps || everyEpoch || reason === "interrupted") saveCheckpoint(course);
  if (reason === "interrupted") return;
  if (reason === "steps" && log.batch > 0) {
    const row = await epochRow(course);
    if (row) {
      log.epochs.push(row);
      options.onEpoch?.(row);
      noteBest(course, row);
    }
  }
  if (options.patience !== undefined) loadBest(course);
}
