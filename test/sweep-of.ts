import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";
import { type Point, type Wanted, writeManifest } from "../src/sweep/manifest.js";
import { openFolder, putResult, type Result } from "../src/sweep/result.js";
import { readSweep, type SweepState } from "../src/sweep/state.js";
import { at } from "./at.js";

const parent = mkdtempSync(path.join(tmpdir(), "mutwo-sweeps-"));

after(() => rmSync(parent, { recursive: true }));

/** A folder for a sweep, which goes with the tests. */
export function sweepFolder(name: string): string {
  const folder = path.join(parent, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** A model whose batch may be chosen. */
export const dynamicModel = at("fixtures/resnet_bottleneck_dynamic.onnx");

/** A point that takes milliseconds: nothing is executed. */
export const wanted = (batch: number, budget?: string, more: Partial<Wanted["options"]> = {}): Wanted => ({
  model: dynamicModel,
  options: {
    loss: "ce",
    optimizer: "sgd",
    backend: "estimate",
    deviceSpec: "h100",
    dims: { batch },
    ...(budget === undefined ? {} : { budget, planner: "mutwo" }),
    ...more,
  },
});

/** The result of a point that went well. */
export const resultOf = (point: Pick<Point, "id">, changed: Partial<Result> = {}): Result => ({
  format: "mutwo-point",
  version: 1,
  id: point.id,
  feasible: null,
  figures: {},
  backend: "estimate",
  run: "runs/a.json",
  attempts: 1,
  tookMs: 5,
  host: "here",
  ...changed,
});

/** A sweep whose points have those results; null for none. */
export function sweepOf(name: string, points: readonly (readonly [Wanted, Partial<Result> | null])[]): SweepState {
  const folder = sweepFolder(name);
  const manifest = writeManifest(
    folder,
    points.map(([one]) => one),
  );
  const temporary = openFolder(folder);
  for (const point of manifest.points) {
    const [, changed] = points.find(([{ options }]) => JSON.stringify(options) === JSON.stringify(point.options)) ?? [];
    if (changed) putResult(folder, resultOf(point, changed), temporary);
  }
  rmSync(temporary, { recursive: true });
  return readSweep(folder);
}

/** Figures of a point without a plan, and with one. */
export const unplanned = (peakMib: number, stepMs: number): Partial<Result> => ({
  figures: { peakBytes: peakMib * 2 ** 20, stepMs, plannedPeakBytes: null, predictedStepMs: null },
});

export const planned = (peakMib: number, stepMs: number, feasible = true): Partial<Result> => ({
  feasible,
  figures: { peakBytes: 8 * 2 ** 20, stepMs: 1, plannedPeakBytes: peakMib * 2 ** 20, predictedStepMs: stepMs },
});
