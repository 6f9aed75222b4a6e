import type { Command } from "commander";
import type { SweepState } from "../sweep/state.js";
import { printJson } from "./process.js";

/** Longer sweeps are shown by their best points alone. */
const mostRows = 40;
const mostBest = 12;
const mostFailures = 10;

/** `mutwo sweep status`: what became of a sweep's points, from its folder alone. */
export const sweepStatusCommand = (sweep: Command): Command =>
  sweep
    .command("status <place>")
    .description(
      "what became of the points so far, the best of them, what failed and why: from the folder alone, at any moment",
    )
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(sweepStatus);

export async function sweepStatus(place: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { readSweep } = await import("../sweep/state.js");
  const sweep = readSweep(place);
  if (json) printJson(await statusJson(sweep));
  else process.stdout.write(await statusText(sweep));
}

/** What `--json` prints of a sweep: how many points there are, the best of them, what failed and why. */
export async function statusJson(sweep: SweepState): Promise<object> {
  const { bestPoints } = await import("../sweep/best.js");
  const { countsOf } = await import("../sweep/state.js");
  const { failuresOf } = await import("../report/sweep-table.js");
  return {
    manifest: sweep.manifest.file,
    points: sweep.points.length,
    ...countsOf(sweep),
    best: bestPoints(sweep.points).map(({ state: { point, result }, ...costs }) => ({
      index: point.index,
      model: point.model,
      options: point.options,
      ...costs,
      run: result?.run,
    })),
    failures: failuresOf(sweep),
  };
}

/** A sweep for a terminal: all points of a short one, the best, what failed and why. */
export async function statusText(sweep: SweepState): Promise<string> {
  const { bestText, failuresOf, sayCounts, sayFailure, sweepText } = await import("../report/sweep-table.js");
  const { gridText } = await import("./table.js");
  const failures = failuresOf(sweep);
  const lines = failures.slice(0, mostFailures).map((one) => `${sayFailure(one)}\n`);
  if (failures.length > mostFailures)
    lines.push(`and ${failures.length - mostFailures} other reasons: sweep.csv has all\n`);
  const best = bestText(sweep, mostBest);
  return [
    sweep.points.length <= mostRows ? gridText(sweepText(sweep)) : `${sayCounts(sweep)}\n`,
    ...lines,
    ...(best.rows.length ? [gridText(best)] : []),
  ].join("");
}
