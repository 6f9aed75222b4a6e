import { existsSync, statSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { inOneLine } from "../graph/message.js";
import { sha256Of } from "../model/read.js";
import { figures } from "../run/figures.js";
import { commandOf } from "../run/option-forms.js";
import { profileModel } from "../run/pipeline.js";
import { readRun } from "../run/read-run.js";
import { planRun } from "../run/replan.js";
import type { Run } from "../run/run.js";
import { writeOnce } from "../writing.js";
import { type Manifest, measuredOptions, modelFile, type Point, plannedOptions } from "./manifest.js";
import { putFault, putResult, type Result, readResult, resultFile } from "./result.js";

/** How a point is done. */
export interface PointOptions {
  /** A temporary folder on the disk of the sweep's folder. */
  readonly temporary: string;
  /** Attempts after the first, where what failed may pass. */
  readonly retries: number;
  /** Which GPU, whatever the point says. */
  readonly device?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What became of a point: `done` and `failed` have left a result; one that is `left` failed by what may pass, and is to be
 * tried again; `stuck` is one of which nothing could be written down, as no other could be.
 */
export type Outcome =
  | { readonly state: "done" }
  | { readonly state: "failed" | "left" | "stuck"; readonly error: string };

/** What may have passed when the point is tried again: the system was out of something, or a disk did not answer. */
const mayPass =
  /\((EAGAIN|EBUSY|EIO|EMFILE|ENFILE|ENOMEM|ESTALE|ETIMEDOUT|EINTR)\)|CUDA.*(unknown error|ECC|launch failure)/;

/** Whether what was measured could not be written down: no point's fault. */
const isUnwritten = ({ message }: Error): boolean => /^(disk full: |cannot write )/.test(message);

const isForGood = (error: Error): boolean => !isUnwritten(error) && !mayPass.test(error.message);

/**
 * Does one point of a sweep and leaves its result, whole or not at all; does nothing where it is there. Throws the reason
 * of `signal`; what is wrong with the point is its result.
 */
export async function runPoint(manifest: Manifest, point: Point, options: PointOptions): Promise<Outcome> {
  const { folder } = manifest;
  if (existsSync(resultFile(folder, point.id))) return known(folder, point);
  const began = performance.now();
  const { temporary, signal } = options;
  let measured: Measured;
  try {
    measured = await measure(manifest, point, options);
  } catch (error) {
    signal?.throwIfAborted();
    const { message } = inOneLine(error);
    if (isUnwritten(error as Error)) return { state: "stuck", error: message };
    return keepFailure(manifest, point, { message, mayPass: !isForGood(error as Error), began }, options);
  }
  return put(folder, { ...blank(point, began), ...measured, attempts: 1 }, temporary);
}

/** What the result that is there says became of a point; of one that is damaged, that. */
export function known(folder: string, { id }: Pick<Point, "id">): Outcome {
  try {
    const { error } = readResult(folder, id);
    return error === undefined ? { state: "done" } : { state: "failed", error };
  } catch (error) {
    return { state: "failed", error: (error as Error).message };
  }
}

/** Why an attempt failed. */
export interface Failure {
  readonly message: string;
  /** Whether another attempt may do. */
  readonly mayPass: boolean;
  /** When the attempt began, of `performance.now()`. */
  readonly began: number;
}

/** Writes down why an attempt failed: as a fault that may pass while there are retries left, else as the point's result. */
export function keepFailure(
  { folder }: Manifest,
  point: Point,
  { message, mayPass, began }: Failure,
  { temporary, retries }: Pick<PointOptions, "temporary" | "retries">,
): Outcome {
  let attempts = 1;
  if (mayPass)
    try {
      attempts = putFault(folder, { id: point.id, error: message, host: hostname() }, temporary);
      if (attempts <= retries) return { state: "left", error: message };
    } catch (error) {
      return { state: "stuck", error: (error as Error).message };
    }
  const failed = { feasible: null, figures: {}, backend: null, run: null, error: message, attempts };
  return put(folder, { ...blank(point, began), ...failed }, temporary);
}

const blank = ({ id }: Point, began: number) =>
  ({ format: "mutwo-point", version: 1, id, tookMs: performance.now() - began, host: hostname() }) as const;

/** Leaves a result; where another was first, what that says is what became of the point. */
function put(folder: string, result: Result, temporary: string): Outcome {
  try {
    if (!putResult(folder, result, temporary)) return known(folder, result);
    return result.error === undefined ? { state: "done" } : { state: "failed", error: result.error };
  } catch (error) {
    return { state: "stuck", error: (error as Error).message };
  }
}

type Measured = Pick<Result, "feasible" | "figures" | "backend" | "run">;

async function measure(manifest: Manifest, point: Point, options: PointOptions): Promise<Measured> {
  const measured = await sharedRun(manifest, point, options);
  const planned = plannedOptions(point);
  const run = planned ? planRun(measured, planned) : measured;
  return {
    feasible: run.plan?.feasible ?? null,
    figures: Object.fromEntries(figures.map(({ name, of }) => [name, of(run)])),
    backend: run.before.backend,
    run: point.passing ? null : runPath(point),
  };
}

/** Where what was measured for a point is, from the sweep's folder. */
const runPath = ({ profile }: Point): string => `runs/${profile}.json`;

/** What came of measuring last: points that share it come one after another. */
let last: { readonly file: string; readonly run?: Run; readonly error?: Error } | undefined;

/** SHA-256 of model files that this process has read, by path, with size and time of change. */
const hashes = new Map<string, string>();

/** What is measured for a point: as it is there, else measured now and left for the points that share it. */
async function sharedRun(manifest: Manifest, point: Point, options: PointOptions): Promise<Run> {
  const file = path.join(manifest.folder, runPath(point));
  if (last?.file === file && last.run) return last.run;
  // what did not go for one goes for none
  if (last?.file === file && last.error) throw last.error;
  try {
    const run = existsSync(file) ? readRun(file) : await makeRun(manifest, point, file, options);
    last = { file, run };
    return run;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (isForGood(error as Error)) last = { file, error: error as Error };
    throw error;
  }
}

async function makeRun(manifest: Manifest, point: Point, file: string, options: PointOptions): Promise<Run> {
  const { temporary, device, signal } = options;
  const model = modelFile(manifest, point);
  checkUnchanged(manifest, point, model);
  const measured = measuredOptions(point);
  const command = commandOf("profile", model, measured);
  const onDevice = device === undefined || measured.backend !== "cuda" ? {} : { device };
  const run = await profileModel(model, { ...measured, ...onDevice, command, signal });
  if (point.passing) return run;
  // where another was first, all points that share the measurement go by that one
  return writeOnce(file, `${JSON.stringify(run)}\n`, temporary) ? run : readRun(file);
}

function checkUnchanged({ models }: Manifest, point: Point, file: string): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  const key = `${file} ${stat?.size} ${stat?.mtimeMs}`;
  const sha256 = hashes.get(key) ?? sha256Of(file);
  hashes.set(key, sha256);
  if (sha256 !== models[point.model])
    throw new Error(`the model has changed since the manifest was made: ${file} (make it again: mutwo sweep plan)`);
}
