import type { Command } from "commander";
import { wholeNumber } from "./numbers.js";
import { Interrupted, interruptible } from "./process.js";
import { complain } from "./terminal.js";

interface RunFlags {
  readonly index: string;
  readonly retries: number;
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
    .option("--device <n>", "which GPU, whatever the points say", wholeNumber)
    .action(runPoints);

export async function runPoints(place: string, { index, retries, device }: RunFlags): Promise<void> {
  const { readManifest } = await import("../sweep/manifest.js");
  const { parseIndexList } = await import("../sweep/index-list.js");
  const { runPoint } = await import("../sweep/point.js");
  const { openFolder } = await import("../sweep/result.js");
  const { rmSync } = await import("node:fs");
  const manifest = readManifest(place);
  const indexes = parseIndexList(index, manifest.points.length);
  const temporary = openFolder(manifest.folder);
  const signal = interruptible();
  let worst = 0;
  try {
    for (const at of indexes) {
      signal.throwIfAborted();
      const point = manifest.points[at] as (typeof manifest.points)[number];
      const outcome = await runPoint(manifest, point, { temporary, retries, device, signal });
      if (outcome.state === "done") continue;
      complain(`point ${at}: ${outcome.error}`);
      worst = Math.max(worst, outcome.state === "failed" ? 1 : temporaryFailure);
    }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    complain(`${error.message}: points are left; the same command goes on`);
    worst = temporaryFailure;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  process.exitCode = worst;
}
