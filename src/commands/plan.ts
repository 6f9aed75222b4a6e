import type { Command } from "commander";
import { commandOf } from "../run/option-forms.js";
import type { OptionsOf } from "../run/options.js";
import { withOptions } from "./options.js";
import { checkOut, finish, finishSweep, type OutcomeFlags, outcomeOptions } from "./outcome.js";

/** `mutwo plan`: plans again from a saved run. */
export const planCommand = (root: Command): Command => {
  const command = root.command("plan <run>").description("plan again from a saved run.json, without a device");
  return outcomeOptions(withOptions(command, "plan", plan, checkOut));
};

export async function plan(file: string, options: OptionsOf<"plan">, flags: OutcomeFlags): Promise<void> {
  const { readRun } = await import("../run/run.js");
  const { planRun, sweepRun } = await import("../run/replan.js");
  if (options.sweep) {
    const { planner: _, sweep: __, ...rest } = options; // all planners
    const command = commandOf("plan", file, { ...rest, sweep: true });
    return finishSweep(sweepRun(readRun(file), { ...rest, command }), flags);
  }
  await finish(planRun(readRun(file), { ...options, command: commandOf("plan", file, options) }), flags);
}
