import type { Command } from "commander";
import { commandOf } from "../run/option-forms.js";
import type { OptionsOf } from "../run/options.js";
import { withOptions } from "./options.js";
import { checkOut, finish, type OutcomeFlags, outcomeOptions } from "./outcome.js";

/** `mutwo plan`: plans again from a saved run. */
export const planCommand = (root: Command): Command => {
  const command = root.command("plan <run>").description("plan again from a saved run.json, without a device");
  return outcomeOptions(withOptions(command, "plan", plan, checkOut));
};

export async function plan(file: string, options: OptionsOf<"plan">, flags: OutcomeFlags): Promise<void> {
  const { planRun } = await import("../run/replan.js");
  const { readRun } = await import("../run/run.js");
  await finish(planRun(readRun(file), { ...options, command: commandOf("plan", file, options) }), flags);
}
