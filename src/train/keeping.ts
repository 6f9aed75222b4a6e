import { bestFile, checkpointFile, readCheckpoint, rotate, writeCheckpoint } from "./checkpoint.js";
import type { Course } from "./course.js";
import type { EpochRow } from "./log.js";
import { isBetter } from "./metrics.js";

/**
 * Notes an epoch that is the best so far. With patience its state is kept: beside the checkpoints, or in memory where there
 * are none or the disk is full.
 */
export function noteBest(course: Course, { epoch, step, validation }: EpochRow): void {
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
export function saveCheckpoint(course: Course): void {
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

/** Puts the state of the best epoch into the trainer. */
export function loadBest({ trainer, options: { checkpoints }, log: { best }, bestState }: Course): void {
  if (bestState) trainer.load(bestState);
  else if (checkpoints && best) trainer.load(readCheckpoint(bestFile(checkpoints.folder, best.step)).state);
}
