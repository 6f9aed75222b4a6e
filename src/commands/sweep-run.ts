import type { Command } from "commander";
import type { Manifest, Point } from "../sweep/manifest.js";
import { positiveNumber, wholeNumber } from "./numbers.js";
import { Interrupted, interruptible } from "./process.js";
import { complain } from "./terminal.js";

interface RunFlags {
  readonly index: string;
  readonly retries: number;
  readonly limit?: number;
  readonly device?: number;
}

/** Exit status where points are left that may do when they are tried again: `EX_TEMPFAIL` of sysexits.h. */
const temporaryFailure = 75;

/** `mutwo sweep run`: does points of a manifest, what engines call. */
export const sweepRunCommand = (sweep: Command): Command =>
  sweep
    .command("run <manifest>")
    .description(
      "do points of a manifest and leave a result file each; what is there is not done again. Exit status 0: all are there; 1: so, and one has failed for good; 75: some are left, try again",
    )
    .requiredOption("--index <list>", "which points, from 0 on: 7, or 0-9,12")
    .option("--retries <n>", "attempts after the first, where what failed may pass", wholeNumber, 2)
    .option("--limit <seconds>", "the most seconds that a point may take, in a process of its own", positiveNumber)
    .option("--device <n>", "which GPU, whatever the points say", wholeNumber)
    .action(runPoints);

export async function runPoints(place: string, flags: RunFlags): Promise<void> {
  const { readManifest } = await import("../sweep/manifest.js");
  const { parseIndexList } = await import("../sweep/index-list.js");
  const manifest = readManifest(place);
  const points = parseIndexList(flags.index, manifest.points.length).map((at) => manifest.points[at] as Point);
  const signal = interruptible();
  try {
    process.exitCode = await (flags.limit === undefined ? runHere : runLimited)({ ...manifest, points }, flags, signal);
  } catch (error) {
    const { message } = error as Error;
    if (!(error instanceof Interrupted) && !/^(disk full: |cannot write )/.test(message)) throw error;
    complain(`${message}: points are left; the same command goes on`);
    process.exitCode = temporaryFailure;
  }
}

/** Does points in this process, one after another; says what is wrong, and returns the exit status. */
async function runHere(manifest: Manifest, { retries, device }: RunFlags, signal: AbortSignal): Promise<number> {
  const { runPoint } = await import("../sweep/point.js");
  const { openFolder } = await import("../sweep/result.js");
  const { rmSync } = await import("node:fs");
  const temporary = openFolder(manifest.folder);
  let worst = 0;
  try {
    for (const point of manifest.points) {
      signal.throwIfAborted();
      const outcome = await runPoint(manifest, point, { temporary, retries, device, signal });
      if (outcome.state === "done") continue;
      complain(`point ${point.index}: ${outcome.error}`);
      worst = Math.max(worst, outcome.state === "failed" ? 1 : temporaryFailure);
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return worst;
}

/** The same in a process that may be ended where a point takes too long. */
async function runLimited(
  manifest: Manifest,
  { retries, limit, device }: RunFlags,
  signal: AbortSignal,
): Promise<number> {
  const { runSweep } = await import("../sweep/runner.js");
  const { known } = await import("../sweep/point.js");
  await runSweep(manifest, {
    retries,
    limitSeconds: limit,
    signal,
    ...(device === undefined ? {} : { devices: [device] }),
  });
  let worst = 0;
  for (const point of manifest.points) {
    const outcome = known(manifest.folder, point);
    if (outcome.state === "done") continue;
    complain(`point ${point.index}: ${outcome.error}`);
    worst = 1;
  }
  return worst;
}
