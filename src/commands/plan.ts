import type { Command } from "commander";
import { commandOf } from "../run/option-forms.js";
import type { OptionsOf } from "../run/options.js";
import { givenOrNewest } from "./newest.js";
import { withOptions } from "./options.js";
import { checkOut, finish, finishFit, finishSweep, type OutcomeFlags, outcomeOptions } from "./outcome.js";

/** `mutwo plan`: plans again from a saved run, or from its two tables. */
export const planCommand = (root: Command): Command => {
  const command = root
    .command("plan [run]")
    .description(
      "plan again from a saved run (the newest in ./reports if none is named), or from the tables nodes.csv and activations.csv alone, without a device",
    );
  return outcomeOptions(withOptions(command, "plan", plan, checkOut));
};

export async function plan(given: string | undefined, options: OptionsOf<"plan">, flags: OutcomeFlags): Promise<void> {
  const file = givenOrNewest(given);
  const { readRun } = await import("../run/read-run.js");
  const { readTables, tableFile } = await import("../report/read-tables.js");
  const { planRun, sweepRun } = await import("../run/replan.js");
  const { progressBar } = await import("./progress.js");
  const nodes = tableFile(file);
  const run = nodes === undefined ? readRun(file) : readTables(nodes);
  const bar = progressBar(process.stderr);
  bar.update("plan", 0, 1);
  try {
    if (options.fit !== undefined) {
      const { fitRun } = await import("../run/fit.js");
      const fit = fitRun(run, { ...options, fit: options.fit }, (batch, isPlanned) =>
        bar.update("fit", 0, 1, { note: `batch ${batch}${isPlanned ? ", planned" : ""}` }),
      );
      bar.stop();
      return await finishFit(run, fit, flags);
    }
    if (options.sweep) {
      const { planner: _, sweep: __, ...rest } = options; // all planners
      const command = commandOf("plan", file, { ...rest, sweep: true });
      return await finishSweep(sweepRun(run, { ...rest, command }), flags, bar.stop);
    }
    await finish(planRun(run, { ...options, command: commandOf("plan", file, options) }), flags, bar.stop);
  } finally {
    bar.stop();
  }
}
