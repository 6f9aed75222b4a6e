import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import { dtypes } from "../graph/graph.js";
import type { Environment } from "../run/run.js";
import { environmentSchema } from "../run/run-schema.js";
import { count, exactly, list, object, oneOf, problemIn, record, type Same, shown, text, v } from "../schema.js";
import type { StepCurve } from "./curve.js";
import { logSchema, type TrainingLog } from "./log.js";

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
  /** The trained model's file; null where none was written. */
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
  readonly log: TrainingLog;
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

const trainingSchema = object({
  format: exactly("mutwo-training"),
  version: exactly(trainingFormatVersion),
  id: text,
  createdAt: text,
  command: text,
  goOn: v.nullable(text),
  model: object({ file: text, path: text, sha256: text }),
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
  const problem = problemIn(trainingSchema, saved) ?? contradictionIn(saved.log);
  if (problem !== undefined) throw new Error(`training is damaged: ${problem} (${file})`);
  return saved;
}

/** What does not fit together in a log whose parts are as they should be. */
export function contradictionIn({ curves, memory, steps }: TrainingLog): string | undefined {
  if (memory.steps.length !== memory.bytes.length) return "memory has more steps than bytes, or fewer";
  for (const [name, { stride, values, count: rest }] of Object.entries(curves) as [string, StepCurve][]) {
    if (rest >= stride) return `curve ${name} has a rest of ${rest} for ${stride} steps`;
    if (values.length * stride + rest > steps) return `curve ${name} is longer than the training's ${steps} steps`;
  }
  return undefined;
}
