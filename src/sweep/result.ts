import { mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import { count, exactly, flag, number, object, problemIn, quantity, record, type Same, text, v } from "../schema.js";
import { temporaryFolder, writeOnce } from "../writing.js";

/** What came of a point for good: `results/ID.json` of the sweep's folder. */
export interface Result {
  readonly format: "mutwo-point";
  readonly version: 1;
  readonly id: string;
  /** Whether the plan fits; null without one. */
  readonly feasible: boolean | null;
  /** Figures of the run by name (`run/figures.ts`); empty where it failed. */
  readonly figures: Readonly<Record<string, number | null>>;
  /** Whether times are those of a recording, or estimated. */
  readonly backend: string | null;
  /** What was measured, from the sweep's folder; null where it failed, and where it was not kept. */
  readonly run: string | null;
  /** Why it failed, one line. */
  readonly error?: string | undefined;
  /** How often it was tried. */
  readonly attempts: number;
  /** How long the last attempt took, by a clock that nobody sets. */
  readonly tookMs: number;
  /** Where it was done. */
  readonly host: string;
}

const resultSchema = object({
  format: exactly("mutwo-point"),
  version: exactly(1),
  id: text,
  feasible: v.nullable(flag),
  figures: record(v.nullable(number)),
  backend: v.nullable(text),
  run: v.nullable(text),
  error: v.optional(text),
  attempts: count,
  tookMs: quantity,
  host: text,
});

// the type and the schema say the same, or this does not compile
true satisfies Same<v.InferOutput<typeof resultSchema>, Result>;

/** An attempt that failed by what may pass: `faults/ID.N.json`, N from 1 on. */
export interface Fault {
  readonly id: string;
  readonly error: string;
  readonly host: string;
}

const faultSchema = object({ id: text, error: text, host: text });

true satisfies Same<v.InferOutput<typeof faultSchema>, Fault>;

/** Where a point's result is. */
export const resultFile = (folder: string, id: string): string => path.join(folder, "results", `${id}.json`);

const ending = /\.json$/;

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => ending.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new Error(`cannot read sweep: ${folder} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}

/** The ids of the points that have a result, well or badly. */
export const doneIds = (folder: string): Set<string> =>
  new Set(namesIn(path.join(folder, "results")).map((name) => name.replace(ending, "")));

/** The faults of each point that had some, in their order. */
export function readFaults(folder: string): Map<string, Fault[]> {
  const faults = new Map<string, Fault[]>();
  const numbered = namesIn(path.join(folder, "faults")).flatMap((name) => {
    const [, id, number] = /^(\w+)\.(\d+)\.json$/.exec(name) ?? [];
    return id === undefined ? [] : [{ id, number: Number(number), name }];
  });
  for (const { id, name } of numbered.sort((a, z) => a.number - z.number)) {
    const fault = readJson("sweep's result", path.join(folder, "faults", name));
    if (problemIn(faultSchema, fault) !== undefined) continue; // only tells why, and counts for nothing
    faults.set(id, [...(faults.get(id) ?? []), fault as Fault]);
  }
  return faults;
}

function readJson(kind: "sweep's result", file: string): unknown {
  const content = readText(kind, file);
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

/** A point's result. Throws `cannot read sweep's result: …`, `sweep's result is damaged: …`. */
export function readResult(folder: string, id: string): Result {
  const file = resultFile(folder, id);
  const result = readJson("sweep's result", file);
  const problem =
    result === undefined
      ? "not JSON or truncated"
      : (problemIn(resultSchema, result) ?? ((result as Result).id === id ? undefined : "of another point"));
  if (problem !== undefined)
    throw new Error(`sweep's result is damaged: ${problem} (${file}; remove it to have the point done again)`);
  return result as Result;
}

/**
 * Makes the folders of a sweep's results, and a temporary one for who writes them to remove; removes those whose owners
 * were killed. Throws `disk full: …`, `output folder not writable: …`.
 */
export function openFolder(folder: string): string {
  try {
    for (const part of ["results", "runs", "faults"]) mkdirSync(path.join(folder, part), { recursive: true });
    return temporaryFolder(folder, ".mutwo-sweep");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(code === "ENOSPC" ? `disk full: ${folder}` : `output folder not writable: ${folder} (${code})`, {
      cause: error,
    });
  }
}

/** Puts a point's result into the sweep's folder, unless one is there; says whether it is this. Throws as `writeOnce`. */
export const putResult = (folder: string, result: Result, temporary: string): boolean =>
  writeOnce(resultFile(folder, result.id), `${JSON.stringify(result)}\n`, temporary);

/** Puts a fault beside those that a point had; says how many it has now. Throws as `writeOnce`. */
export function putFault(folder: string, fault: Fault, temporary: string): number {
  for (let number = 1; ; number++) {
    const file = path.join(folder, "faults", `${fault.id}.${number}.json`);
    if (writeOnce(file, `${JSON.stringify(fault)}\n`, temporary)) return number;
  }
}
