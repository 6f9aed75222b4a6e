import { closeSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { openFile } from "../files.js";
import { readSafetensorsFile, safetensorsHeader, writeSafetensors } from "../model/safetensors.js";
import { exactly, number, object, problemIn, record, shown, text } from "../schema.js";
import { writeDurably } from "../writing.js";
import { logSchema, type TrainingLog } from "./log.js";
import type { TrainerState } from "./trainer.js";

/** Version of a checkpoint's description; a file of another version is refused. */
const checkpointVersion = 1;

/** Where a training can go on from: a safetensors file of the trainer's state, with the rest as a text beside the tensors. */
export interface Checkpoint {
  readonly file: string;
  readonly state: TrainerState;
  readonly log: TrainingLog;
  /** What decides the numbers of a training, in words by name: only one with the same goes on from here. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The name of the text beside the tensors. */
const key = "mutwo-checkpoint";

/** Whether the texts beside a file's tensors say that it is a checkpoint. */
export const isCheckpoint = (metadata: Readonly<Record<string, string>>): boolean => Object.hasOwn(metadata, key);

const described = object({
  version: exactly(checkpointVersion),
  sum: number,
  learningRate: number,
  settings: record(text),
  log: logSchema,
});

const digits = 9;

const numbered = (prefix: string, step: number): string =>
  `${prefix}-${String(step).padStart(digits, "0")}.safetensors`;

/** The steps of the files with a prefix in a folder, the newest first. */
function stepsIn(folder: string, prefix: string): number[] {
  const pattern = new RegExp(`^${prefix}-(\\d{${digits},})\\.safetensors$`);
  const names = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(folder) : [];
  const steps = names.map((name) => pattern.exec(name)?.[1]).filter((step) => step !== undefined);
  return steps.map(Number).sort((a, z) => z - a);
}

/** The files of a folder's checkpoints, the newest first. */
export const checkpointsIn = (folder: string): string[] =>
  stepsIn(folder, "step").map((step) => path.join(folder, numbered("step", step)));

/** Where the state of the best epoch lies. */
export const bestFile = (folder: string, step: number): string => path.join(folder, numbered("best", step));

/** A sum over all tensors: what a disk or a copy spoilt is not gone on from. */
const sumOf = ({ tensors }: Pick<TrainerState, "tensors">): number =>
  [...tensors.values()].reduce((sum, { data }) => crc32(data, sum), 0);

/**
 * Writes a checkpoint, whole or not at all. Throws `disk full: FILE`, `cannot write FILE (CODE)`; what was there before is
 * then as it was.
 */
export function writeCheckpoint({ file, state, log, settings }: Checkpoint): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
  } catch (error) {
    throw new Error(`cannot write ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  const text = JSON.stringify({
    version: checkpointVersion,
    sum: sumOf(state),
    learningRate: state.learningRate,
    settings,
    log,
  });
  writeDurably(file, (made) => writeSafetensors(made, state.tensors, { [key]: text }));
}

/** The file of the checkpoint after so many steps. */
export const checkpointFile = (folder: string, step: number): string => path.join(folder, numbered("step", step));

/**
 * Removes all but the newest `keep` checkpoints up to a step, those after it (of a course that was left), and the states
 * of best epochs that none of those that stay goes by.
 */
export function rotate(folder: string, step: number, keep: number): void {
  const steps = stepsIn(folder, "step");
  const kept = steps.filter((one) => one <= step).slice(0, keep);
  for (const one of steps) if (!kept.includes(one)) rmSync(path.join(folder, numbered("step", one)), { force: true });
  const bests = new Set(kept.map((one) => bestOf(path.join(folder, numbered("step", one)))));
  for (const one of stepsIn(folder, "best")) if (!bests.has(one)) rmSync(bestFile(folder, one), { force: true });
}

/** The step of the best epoch that a checkpoint goes by. */
function bestOf(file: string): number | undefined {
  try {
    return readCheckpointLog(file).best?.step;
  } catch {
    return undefined; // a broken one is skipped when it is read
  }
}

/** The log of a checkpoint; its tensors are not read. Throws as `readCheckpoint` does. */
export function readCheckpointLog(file: string): TrainingLog {
  const open = openFile("safetensors", file);
  try {
    return description(safetensorsHeader(open, file).metadata, file).log;
  } finally {
    closeSync(open.descriptor);
  }
}

function description(metadata: Readonly<Record<string, string>>, file: string) {
  const text = metadata[key];
  if (text === undefined) throw new Error(`not a checkpoint of a training: ${file}`);
  let value: { version?: unknown };
  try {
    value = JSON.parse(text) as object;
  } catch (error) {
    throw new Error(`checkpoint is damaged: ${file}`, { cause: error });
  }
  if (value?.version !== checkpointVersion)
    throw new Error(`checkpoint has version ${shown(value?.version)}, this mutwo reads ${checkpointVersion}: ${file}`);
  const problem = problemIn(described, value);
  if (problem !== undefined) throw new Error(`checkpoint is damaged: ${problem} (${file})`);
  return value as unknown as { sum: number; learningRate: number; settings: Record<string, string>; log: TrainingLog };
}

/**
 * Reads a checkpoint and checks that it is as it was written. Throws one line for a file that cannot be read, is
 * truncated or damaged, is no checkpoint, or of another version.
 */
export function readCheckpoint(file: string): Checkpoint {
  const { values: tensors, metadata } = readSafetensorsFile(file);
  const { sum, learningRate, settings, log } = description(metadata, file);
  if (sumOf({ tensors }) !== sum)
    throw new Error(`checkpoint is damaged: its tensors are not what was written: ${file}`);
  return { file, state: { steps: log.steps, learningRate, tensors }, log, settings };
}

/**
 * The checkpoint that a path names: that file, or the newest whole one in that folder; of each that is broken `say` gets a
 * line. Undefined where the folder has none. Throws one line for a file that is none, and where all in a folder are broken.
 */
export function findCheckpoint(place: string, say: (line: string) => void): Checkpoint | undefined {
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory() && existsSync(place)) return readCheckpoint(place);
  const files = checkpointsIn(place);
  for (const file of files)
    try {
      return readCheckpoint(file);
    } catch (error) {
      say(`skipped: ${(error as Error).message}`);
    }
  if (files.length) throw new Error(`no whole checkpoint: ${place} (none of ${files.length} can be read)`);
  return undefined;
}

/** Throws one line that names how the settings of a checkpoint differ from those that are given. */
export function checkSameTraining({ file, settings }: Checkpoint, given: Readonly<Record<string, string>>): void {
  const names = [...new Set([...Object.keys(settings), ...Object.keys(given)])];
  const differences = names.flatMap((name) => {
    const [was, is] = [settings, given].map((all) => (Object.hasOwn(all, name) ? all[name] : "none") as string);
    return was === is ? [] : [`${name} was ${shortened(was as string)}, is ${shortened(is as string)}`];
  });
  if (differences.length)
    throw new Error(
      `checkpoint of another training: ${differences.slice(0, 3).join("; ")}${differences.length > 3 ? "; …" : ""} (${file})`,
    );
}

const shortened = (value: string): string => (value.length > 60 ? `${value.slice(0, 59)}…` : value || "none");
