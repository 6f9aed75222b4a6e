import type { Command } from "commander";
import { optionGroups } from "../run/option-kinds.js";
import type { OptionsOf } from "../run/options.js";
import { withGrid } from "./options.js";
import { printJson } from "./process.js";
import { sweepWorkerCommand } from "./sweep-engine.js";
import { sweepPlanCommand } from "./sweep-plan.js";
import { sweepRunCommand } from "./sweep-run.js";

interface SweepFlags {
  readonly out: string;
  readonly json?: boolean;
}

/** Values with commas between them, each a word of its own. */
const list = (word: string): readonly string[] => word.split(",").map((one) => one.trim());

/** Sizes of a dimension with commas between them: `batch=4,8` is `batch=4` and `batch=8`. */
function sizes(word: string): readonly string[] {
  const at = word.indexOf("=");
  return at < 0 ? [word] : list(word.slice(at + 1)).map((size) => `${word.slice(0, at)}=${size}`);
}

/** `mutwo sweep`: profiles a model at every combination of the sizes and budgets that are listed. */
export function sweepCommand(root: Command): Command {
  const command = withGrid(
    root
      .command("sweep <model>")
      .enablePositionalOptions()
      .description(
        "profile a model at every combination of sizes and budgets: --dim batch=4,8,16 --budget 60%,80%; one report over all",
      ),
    { dims: sizes, budget: list },
    sweep,
  )
    .optionsGroup(optionGroups.output)
    .option("--out <dir>", "folder of the sweep; what is there already is not measured again", "reports/sweep")
    .option("--json", "print one JSON object on stdout and nothing else");
  for (const addTo of [sweepPlanCommand, sweepRunCommand, sweepWorkerCommand]) addTo(command);
  return command;
}

/** Measures the points that are not there yet, each in a process of its own, and writes the report over all. */
export async function sweep(model: string, points: readonly OptionsOf<"profile">[], flags: SweepFlags): Promise<void> {
  const { readPoints, sweepPoints } = await import("../run/grid.js");
  const { writeGrid } = await import("../report/grid.js");
  const { progressBar } = await import("./progress.js");
  const { interruptible } = await import("./process.js");
  const bar = progressBar(process.stderr);
  const signal = interruptible();
  try {
    const mutwo = [process.execPath, ...process.execArgv, process.argv[1] as string] as const;
    await sweepPoints(model, points, { folder: flags.out, mutwo, signal, onProgress: bar.update });
  } finally {
    bar.stop();
  }
  const measured = readPoints(flags.out);
  const files = writeGrid(measured, flags.out);
  if (flags.json) printJson({ points: measured, ...files });
  else {
    const { gridTable } = await import("../report/grid.js");
    const { gridText } = await import("./table.js");
    process.stdout.write(`${gridText(gridTable(measured))}report: ${files.report}\n`);
  }
  if (measured.some(({ error }) => error !== undefined)) process.exitCode = 1;
}
