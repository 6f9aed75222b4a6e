import { statSync } from "node:fs";
import type { Command } from "commander";
import { checkFile } from "../files.js";
import { optionGroups } from "../run/option-kinds.js";
import type { OptionsOf } from "../run/options.js";
import { countNumber, numberList, positiveNumber, wholeNumber } from "./numbers.js";
import { type Grid, withGrid } from "./options.js";
import { printJson } from "./process.js";
import { type EngineFlags, sweepOnEngine, sweepWorkerCommand, withEngine } from "./sweep-engine.js";
import { sweepPlanCommand } from "./sweep-plan.js";
import { sweepReportCommand } from "./sweep-report.js";
import { sweepRunCommand } from "./sweep-run.js";
import { sweepStatusCommand } from "./sweep-status.js";

interface SweepFlags extends EngineFlags {
  readonly execute?: boolean;
  readonly devices?: readonly number[];
  readonly retries: number;
  readonly limit?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** Values with commas between them, each a word of its own. */
const list = (word: string): readonly string[] => word.split(",").map((one) => one.trim());

/** Sizes of a dimension with commas between them: `batch=4,8` is `batch=4` and `batch=8`. */
function sizes(word: string): readonly string[] {
  const at = word.indexOf("=");
  return at < 0 ? [word] : list(word.slice(at + 1)).map((size) => `${word.slice(0, at)}=${size}`);
}

/** `mutwo sweep`: does the points of a manifest, of a spec, or of a model with lists of sizes and budgets. */
export function sweepCommand(root: Command): Command {
  const command = withGrid(
    root
      .command("sweep <what>")
      .enablePositionalOptions()
      .description(
        "do all points of a manifest, its folder or a spec (YAML), or of a model at every combination of sizes and budgets: --dim batch=4,8,16 --budget 60%,80%; one report over all. What is there already is not done again",
      ),
    { dims: sizes, budget: list, planner: list, seed: list },
    sweep,
  )
    .optionsGroup("Sweep:")
    .option("--execute", "execute each plan and compare it, instead of planning many from one measurement")
    .option(
      "--jobs <n>",
      "points at a time, on each of --devices so many (default: 1); times of points that share a machine are longer. On an engine: tasks at a time",
      countNumber,
    )
    .option("--devices <list>", "GPUs to do points on, one at a time on each: 0,1", numberList)
    .option("--retries <n>", "attempts of a point after the first, where what failed may pass", wholeNumber, 2)
    .option("--limit <seconds>", "the most seconds that a point may take", positiveNumber);
  withEngine(command)
    .optionsGroup(optionGroups.output)
    .option(
      "--out <dir>",
      "folder of the sweep of a model or a spec (default: reports/sweep, reports/NAME of the spec)",
    )
    .option("--json", "print one JSON object on stdout and nothing else");
  for (const addTo of [sweepPlanCommand, sweepRunCommand, sweepStatusCommand, sweepReportCommand, sweepWorkerCommand])
    addTo(command);
  return command;
}

const isManifest = (what: string): boolean =>
  what.endsWith(".jsonl") || statSync(what, { throwIfNoEntry: false })?.isDirectory() === true;

const isSpec = (what: string): boolean => /\.ya?ml$/.test(what);

/** The manifest's folder or file: what is given, or what is made of a spec or a model. */
async function manifestOf(what: string, grid: Grid, { out, execute }: SweepFlags): Promise<string> {
  if (!isManifest(what) && !isSpec(what)) {
    checkFile("model", what); // first: who misspells a folder asked for no options
    return await manifestOfModel(what, grid.points(), { out, execute });
  }
  const [first] = [
    ...grid.given,
    ...(execute ? ["--execute"] : []),
    ...(isManifest(what) && out !== undefined ? ["--out"] : []),
  ];
  if (first !== undefined)
    throw new Error(`a ${isSpec(what) ? "spec" : "manifest"} says what its points are: ${first} (leave it out)`);
  if (isManifest(what)) return what;
  const { specManifest } = await import("./sweep-plan.js");
  return (await specManifest(what, { out })).file;
}

async function manifestOfModel(
  model: string,
  points: readonly OptionsOf<"profile">[],
  { out = "reports/sweep", execute }: Pick<SweepFlags, "out" | "execute">,
): Promise<string> {
  const { writeManifest } = await import("../sweep/manifest.js");
  return writeManifest(
    out,
    points.map((options) => ({ model, options, execute })),
    true,
  ).file;
}

/** Does the points that have no result yet, and writes the report over all. */
export async function sweep(what: string, grid: Grid, flags: SweepFlags): Promise<void> {
  const place = await manifestOf(what, grid, flags);
  if (flags.engine === undefined) await sweepHere(place, flags);
  else if (!(await sweepOnEngine(place, flags.engine, flags))) return;
  const { readSweep } = await import("../sweep/state.js");
  const { writeSweep } = await import("../report/sweep-page.js");
  const { statusJson, statusText } = await import("./sweep-status.js");
  const state = readSweep(place);
  const files = writeSweep(state);
  if (flags.json) printJson({ ...(await statusJson(state)), ...files });
  else process.stdout.write(`${await statusText(state)}report: ${files.report}\n`);
  const { countsOf } = await import("../sweep/state.js");
  const { failed, damaged } = countsOf(state);
  if (failed || damaged) process.exitCode = 1;
}

/** Does the points of a manifest on this machine. */
async function sweepHere(
  place: string,
  { jobs = 1, devices, retries, limit: limitSeconds }: SweepFlags,
): Promise<void> {
  const { readManifest } = await import("../sweep/manifest.js");
  const { runSweep } = await import("../sweep/runner.js");
  const { progressBar } = await import("./progress.js");
  const { interruptible } = await import("./process.js");
  const bar = progressBar(process.stderr);
  try {
    await runSweep(readManifest(place), {
      ...{ jobs, devices, retries, limitSeconds },
      signal: interruptible(),
      onProgress: ({ done, total, failed, leftMs }) =>
        bar.update("points", done, total, {
          note: failed ? `${failed} failed` : "",
          ...(leftMs === undefined ? {} : { leftMs }),
        }),
    });
  } finally {
    bar.stop();
  }
}
