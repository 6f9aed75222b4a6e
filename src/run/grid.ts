import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { checkFile, readText } from "../files.js";
import { sha256Of } from "../model/read.js";
import { own } from "../own.js";
import { count, flag, number, object, problemIn, record, type Same, text, v } from "../schema.js";
import { writeWhole } from "../writing.js";
import { figures } from "./figures.js";
import { checkFileWritable, checkWritable } from "./folder.js";
import { commandOf, commandWords } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import { readRun } from "./read-run.js";

/** One combination of a sweep, measured: what `points/ID.json` of the sweep's folder holds. */
export interface GridPoint {
  /** By the command and the model's bytes: the same combination has the same. */
  readonly id: string;
  readonly command: string;
  readonly dims: Readonly<Record<string, number>>;
  /** As asked for; null without a plan. */
  readonly budget: string | null;
  /** Whether the plan fits; null without one. */
  readonly feasible: boolean | null;
  /** Figures of the run by name (`run/figures.ts`); empty where it failed. */
  readonly figures: Readonly<Record<string, number | null>>;
  /** Whether times are those of a recording, or estimated. */
  readonly backend: string | null;
  /** The run's folder, from the sweep's. */
  readonly run: string | null;
  /** The line that the run ended with, where it failed. */
  readonly error?: string;
}

const pointSchema = object({
  id: text,
  command: text,
  dims: record(count),
  budget: v.nullable(text),
  feasible: v.nullable(flag),
  figures: record(v.nullable(number)),
  backend: v.nullable(text),
  run: v.nullable(text),
  error: v.optional(text),
});

// the type and the schema say the same, or this does not compile
true satisfies Same<v.InferOutput<typeof pointSchema>, GridPoint>;

/** The dimensions that any of the points has. */
export const dimsOf = (points: readonly GridPoint[]): string[] => [
  ...new Set(points.flatMap(({ dims }) => Object.keys(dims))),
];

export interface SweepOptions {
  /** The program that `profile` and its options follow: `[node, launch.mjs]`. */
  readonly mutwo: readonly [string, ...string[]];
  /** The folder of the sweep, for points and runs. */
  readonly folder: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/**
 * Profiles a model at each point, one process a point, and writes what came of it into the folder. Points that are there
 * are not measured again, except those that failed. Throws where the model cannot be read or nothing can be written, and
 * the reason of `signal`.
 */
export async function sweepPoints(
  model: string,
  points: readonly OptionsOf<"profile">[],
  { folder, mutwo, signal, onProgress = () => {} }: SweepOptions,
): Promise<void> {
  checkFile("model", model);
  const hash = sha256Of(model);
  for (const part of ["", "points", "runs"]) checkWritable(path.join(folder, part));
  mkdirSync(path.join(folder, "points"), { recursive: true });
  for (const name of ["sweep.csv", "sweep.html"]) checkFileWritable("sweep", path.join(folder, name), [model]);
  let failures = 0;
  for (const [done, options] of points.entries()) {
    onProgress(sayPoint(options), done, points.length);
    const command = commandOf("profile", model, options);
    const id = createHash("sha256").update(`${command}\n${hash}`).digest("hex").slice(0, 16);
    const file = path.join(folder, "points", `${id}.json`);
    if (existsSync(file) && readPoint(file).error === undefined) continue;
    const point = { id, command, dims: options.dims ?? {}, budget: options.budget ?? null };
    const result = await measure([...mutwo, ...commandWords("profile", model, options)], folder, signal);
    signal?.throwIfAborted();
    writeWhole(file, `${JSON.stringify({ ...point, ...result })}\n`);
    if (result.error !== undefined) failures++;
    // what is wrong with the first points is wrong with all
    if (failures === points.length) throw new Error(result.error);
  }
}

const sayPoint = ({ dims = {}, budget }: OptionsOf<"profile">): string =>
  [...Object.entries(dims).map(([name, size]) => `${name} ${size}`), ...(budget ? [budget] : [])].join(", ");

/** The points of a sweep's folder, in the order of their sizes and budgets. Throws one line for a folder without any. */
export function readPoints(folder: string): GridPoint[] {
  const points = path.join(folder, "points");
  const files = existsSync(points) ? readdirSync(points).filter((name) => name.endsWith(".json")) : [];
  if (files.length === 0) throw new Error(`no sweep here: ${folder}`);
  const key = ({ dims }: GridPoint): number[] =>
    Object.keys(dims)
      .sort()
      .map((name) => own(dims, name) as number);
  return files
    .map((name) => readPoint(path.join(points, name)))
    .sort((a, z) => {
      const [of, than] = [key(a), key(z)];
      const differs = of.findIndex((size, i) => size !== than[i]);
      return differs < 0
        ? (a.budget ?? "").localeCompare(z.budget ?? "", "en", { numeric: true })
        : (of[differs] as number) - (than[differs] as number);
    });
}

function readPoint(file: string): GridPoint {
  let point: GridPoint;
  try {
    point = JSON.parse(readText("sweep's result", file)) as GridPoint;
  } catch (error) {
    throw new Error(`point of a sweep cannot be read: ${file}`, { cause: error });
  }
  const problem = problemIn(pointSchema, point);
  if (problem !== undefined)
    throw new Error(`point of a sweep is damaged: ${problem} (${file}; remove it to measure it again)`);
  return point;
}

type Outcome = Pick<GridPoint, "feasible" | "figures" | "backend" | "run" | "error">;

const failed = (error: string): Outcome => ({ feasible: null, figures: {}, backend: null, run: null, error });

/** What `mutwo profile` says of a point, in a process of its own: one that dies takes no other point with it. */
async function measure(words: readonly string[], folder: string, signal?: AbortSignal): Promise<Outcome> {
  const [program = "", ...rest] = words;
  const child = spawn(program, [...rest, "--json", "--no-pictures", "--out", path.join(folder, "runs")], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stop = (): void => void child.kill("SIGTERM");
  signal?.addEventListener("abort", stop);
  const { stdout, stderr, status } = await outputOf(child);
  signal?.removeEventListener("abort", stop);
  // 1: the budget cannot be met, or the plan computes otherwise; the run is there
  const printed = status === 0 || status === 1 ? /^\{.*\}$/m.exec(stdout)?.[0] : undefined;
  if (printed === undefined) return failed(lastLine(stderr) || `ended with status ${status}`);
  const file = (JSON.parse(printed) as { run: string }).run;
  const run = readRun(file);
  return {
    feasible: run.plan?.feasible ?? null,
    figures: Object.fromEntries(figures.map(({ name, of }) => [name, of(run)])),
    backend: run.before.backend,
    run: path.relative(folder, path.dirname(file)),
  };
}

/** What a mutwo that ended said of why: its last error, else its last line. */
function lastLine(text: string): string {
  const lines = text.trim().split("\n");
  const error = lines.findLast((line) => line.startsWith("mutwo: "));
  return (error ?? lines.at(-1) ?? "").replace(/^mutwo: /, "");
}

async function outputOf(child: ChildProcess): Promise<{ stdout: string; stderr: string; status: number | string }> {
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  const status = await new Promise<number | string>((resolve) => {
    child.on("error", ({ message }) => resolve(message));
    child.on("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  return { ...texts, status };
}
