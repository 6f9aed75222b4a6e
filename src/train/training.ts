import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import { formatCount } from "../format.js";
import { dtypes } from "../graph/graph.js";
import type { Environment } from "../run/run.js";
import { environmentSchema } from "../run/run-schema.js";
import { count, exactly, list, object, oneOf, problemIn, record, type Same, shown, text, v } from "../schema.js";
import type { StepCurve } from "./curve.js";
import { type End, logSchema, type TrainingLog } from "./log.js";
import { isBetter } from "./metrics.js";

/** Version of training.json; a file of another version is refused. */
export const trainingFormatVersion = 1;

/** What was trained on, or validated with. */
export interface DataInfo {
  /** As given. */
  readonly path: string;
  readonly name: string;
  readonly count: number;
  /** Of one sample. */
  readonly columns: readonly {
    readonly name: string;
    readonly dtype: (typeof dtypes)[number];
    readonly shape: readonly number[];
  }[];
  readonly classes: readonly string[] | null;
}

/** What the step takes by its plan, bytes. */
export interface StepMemory {
  /** What was allocated for all values of the step that trained. */
  readonly allocatedBytes: number;
  /** What evaluating took beside it; 0 where nothing was validated. */
  readonly evaluationBytes: number;
  /** The step's peak without and with the plan; null where nothing was measured or planned. */
  readonly unplannedBytes: number | null;
  readonly plannedBytes: number | null;
  readonly budgetBytes: number | null;
}

/** One of several models that were trained in one step. */
export interface TrainedTrial extends Pick<Training, "model" | "out" | "seed" | "settings" | "log"> {
  /** `m0`, `m1`, … */
  readonly name: string;
  /** In what it differs from others, in words by name. */
  readonly varied: Readonly<Record<string, string>>;
}

/** What a training knows of several models. */
export interface TrainedTogether {
  readonly models: readonly TrainedTrial[];
  /** Name of the one with the best validation, or without one the least loss over its last epoch; null where that is of different losses, or none is finite. */
  readonly best: string | null;
}

/** A training: the whole content of training.json. */
export interface Training {
  readonly format: "mutwo-training";
  readonly version: typeof trainingFormatVersion;
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The command that trains so again, and the one that goes on from the newest checkpoint; null where there is none. */
  readonly command: string;
  readonly goOn: string | null;
  readonly model: { readonly file: string; readonly path: string; readonly sha256: string };
  /** The trained model's file; null where none was written; of several that of the best. */
  readonly out: string | null;
  readonly backend: "cpu" | "cuda";
  readonly device: string;
  readonly environment: Environment;
  readonly data: DataInfo;
  readonly validation: DataInfo | null;
  readonly seed: number;
  /** What else decides the numbers, in words by name. */
  readonly settings: Readonly<Record<string, string>>;
  readonly step: StepMemory;
  /** Id of the run that measured and planned the step; its folder lies in the training's. null where nothing was planned. */
  readonly run: string | null;
  /** Of several models that of the best, or else of the first. */
  readonly log: TrainingLog;
  /** Absent where one model was trained. */
  readonly together?: TrainedTogether;
}

const data = object({
  path: text,
  name: text,
  count,
  columns: list(
    object({ name: text, dtype: oneOf(dtypes as readonly ["float32", ...typeof dtypes]), shape: list(count) }),
  ),
  classes: v.nullable(list(text)),
});

const bytes = v.nullable(count);

const model = object({ file: text, path: text, sha256: text });

const trainingSchema = object({
  format: exactly("mutwo-training"),
  version: exactly(trainingFormatVersion),
  id: text,
  createdAt: text,
  command: text,
  goOn: v.nullable(text),
  model,
  out: v.nullable(text),
  backend: oneOf(["cpu", "cuda"]),
  device: text,
  environment: environmentSchema,
  data,
  validation: v.nullable(data),
  seed: count,
  settings: record(text),
  step: object({
    allocatedBytes: count,
    evaluationBytes: count,
    unplannedBytes: bytes,
    plannedBytes: bytes,
    budgetBytes: bytes,
  }),
  run: v.nullable(text),
  log: logSchema,
  together: v.optional(
    object({
      models: v.pipe(
        list(
          object({
            name: text,
            varied: record(text),
            model,
            out: v.nullable(text),
            seed: count,
            settings: record(text),
            log: logSchema,
          }),
        ),
        v.minLength(1, "models"),
      ),
      best: v.nullable(text),
    }),
  ),
});

// the type and the schema say the same, or this does not compile
true satisfies Same<v.InferOutput<typeof trainingSchema>, Training>;

/** The training.json that a path names: the file itself, or the one in a training's folder; undefined where it is none. */
export function trainingFile(place: string): string | undefined {
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory())
    return path.basename(place) === "training.json" ? place : undefined;
  const file = path.join(place, "training.json");
  return existsSync(file) ? file : undefined;
}

/**
 * Reads and checks a training.json, or the one in a training's folder. Throws one line that says what is wrong: no such
 * file, not JSON (truncated), no training, another format version, or a field that is missing or not what it should be.
 */
export function readTraining(place: string): Training {
  const file = trainingFile(place) ?? place;
  const content = readText("training", file);
  let saved: Training;
  try {
    saved = JSON.parse(content) as Training;
  } catch (error) {
    throw new Error(`training is not JSON or is truncated: ${file}`, { cause: error });
  }
  if (saved?.format !== "mutwo-training") throw new Error(`not a mutwo training: ${file}`);
  if (saved.version !== trainingFormatVersion)
    throw new Error(
      `training has format version ${shown(saved.version)}, this mutwo reads ${trainingFormatVersion}: ${file}`,
    );
  const logs = (): readonly TrainingLog[] => [saved.log, ...(saved.together?.models ?? []).map(({ log }) => log)];
  const problem =
    problemIn(trainingSchema, saved) ??
    logs()
      .map(contradictionIn)
      .find((one) => one !== undefined) ??
    foreignBest(saved.together);
  if (problem !== undefined) throw new Error(`training is damaged: ${problem} (${file})`);
  return saved;
}

/** What is wrong with the best of several models; undefined if it is one of them. */
const foreignBest = (together: TrainedTogether | undefined): string | undefined =>
  together && together.best !== null && together.models.every(({ name }) => name !== together.best)
    ? `the best model is none of them: ${together.best}`
    : undefined;

/** What does not fit together in a log whose parts are as they should be. */
export function contradictionIn({ curves, memory, steps }: TrainingLog): string | undefined {
  if (memory.steps.length !== memory.bytes.length) return "memory has more steps than bytes, or fewer";
  for (const [name, { stride, values, count: rest }] of Object.entries(curves) as [string, StepCurve][]) {
    if (rest >= stride) return `curve ${name} has a rest of ${rest} for ${stride} steps`;
    if (values.length * stride + rest > steps) return `curve ${name} is longer than the training's ${steps} steps`;
  }
  return undefined;
}

/** What a model came to, and what that is: the best of what its training goes by, or without a validation its last epoch's loss. */
export const resultOf = ({ log }: Pick<TrainedTrial, "log">): number | null =>
  log.end?.reason === "not finite" ? null : (log.best?.value ?? log.epochs.at(-1)?.loss ?? null);

/** The best of several models; undefined where their losses are of different kinds, or none came to a finite number. */
export function bestOf<T extends Pick<TrainedTrial, "log" | "settings">>(models: readonly T[]): T | undefined {
  const [{ log, settings } = { log: undefined, settings: {} as TrainedTrial["settings"] }] = models;
  const monitor = log?.monitor ?? "loss";
  if (monitor === "loss" && models.some((one) => one.settings.loss !== settings.loss)) return undefined;
  let best: T | undefined;
  for (const one of models) {
    const [value, least] = [resultOf(one), best && resultOf(best)];
    if (value !== null && (least === undefined || least === null || isBetter(monitor, value, least))) best = one;
  }
  return best;
}

/** How a training ended: of several models interrupted if one was, and not finite if no other end is; null while it goes on. */
export function endOf({ log, together }: Pick<Training, "log" | "together">): End | null {
  if (!together) return log.end;
  const ends = together.models.map(({ log: { end } }) => end);
  const interrupted = ends.find((end) => end === null || end.reason === "interrupted");
  if (interrupted !== undefined) return interrupted;
  const whole = ends.filter((end) => end?.reason !== "not finite");
  const [first] = whole;
  if (!first) return ends[0] as End;
  const isSame = whole.every((end) => end?.text === first.text);
  const lost = ends.length - whole.length;
  const text = `${formatCount(whole.length)} models${isSame ? `: ${first.text}` : ""}${lost ? `; ${formatCount(lost)} not finite` : ""}`;
  return { reason: first.reason, text };
}

/** The training of one of several models, as its own folder has it. */
export function trainingOf({ together: _, ...joint }: Training, trial: TrainedTrial): Training {
  const { name, varied: _varied, ...own } = trial;
  return { ...joint, ...own, id: `${joint.id}-${name}` };
}
