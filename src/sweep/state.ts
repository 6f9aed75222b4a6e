import { existsSync } from "node:fs";
import { type Manifest, type Point, readManifest } from "./manifest.js";
import { doneIds, type Fault, type Result, readFaults, readResult, resultFile } from "./result.js";

/** A point with what is known of it. */
export interface PointState {
  readonly point: Point;
  /** undefined while there is none, and where it is damaged. */
  readonly result: Result | undefined;
  /** Why attempts failed that are to be made again. */
  readonly faults: readonly Fault[];
  /** What is wrong with the file of its result. */
  readonly damage?: string;
}

/** A sweep as its folder shows it at a moment. */
export interface SweepState {
  readonly manifest: Manifest;
  readonly points: readonly PointState[];
}

/** What became of a point: `left` is what has no result yet, `unfit` a plan that does not fit. */
export type Standing = "done" | "unfit" | "failed" | "damaged" | "left";

/** What became of a point. */
export function standingOf({ result, damage }: PointState): Standing {
  if (damage !== undefined) return "damaged";
  if (!result) return "left";
  if (result.error !== undefined) return "failed";
  return result.feasible === false ? "unfit" : "done";
}

/** How many points there are of each standing. */
export function countsOf({ points }: SweepState): Readonly<Record<Standing, number>> {
  const counts = { done: 0, unfit: 0, failed: 0, damaged: 0, left: 0 };
  for (const one of points) counts[standingOf(one)]++;
  return counts;
}

/**
 * Reads a sweep's folder, whoever is working on it: what of a manifest's points is there. A result that is damaged is said
 * of its point. Throws what `readManifest` throws.
 */
export function readSweep(place: string): SweepState {
  const manifest = readManifest(place);
  const { folder } = manifest;
  const done = doneIds(folder);
  const faults = readFaults(folder);
  const points = manifest.points.map((point): PointState => {
    const state = { point, result: undefined, faults: faults.get(point.id) ?? [] };
    if (!done.has(point.id)) return state;
    try {
      return { ...state, result: readResult(folder, point.id) };
    } catch (error) {
      // removed meanwhile, to be done again
      return existsSync(resultFile(folder, point.id)) ? { ...state, damage: (error as Error).message } : state;
    }
  });
  return { manifest, points };
}
