import type { Command } from "commander";
import type { OptionsOf } from "../run/options.js";
import { withOptions } from "./options.js";
import { checkOut, finish, type OutcomeFlags, outcomeOptions } from "./outcome.js";
import { Interrupted, interruptible } from "./process.js";
import { complain } from "./terminal.js";

/** `mutwo profile`: profiles a model's training step; with a budget, plans it and executes the plan. */
export const profileCommand = (root: Command): Command => {
  const command = root
    .command("profile <model> [others...]")
    .description("profile a model's training step; with --budget, plan and execute the plan");
  return outcomeOptions(withOptions(command, "profile", profile, checkOut));
};

export async function profile(model: string, options: OptionsOf<"profile">, flags: OutcomeFlags): Promise<void> {
  const { profileModel } = await import("../run/pipeline.js");
  const { progressBar } = await import("./progress.js");
  const bar = progressBar(process.stderr);
  const signal = interruptible();
  try {
    const run = await profileModel(model, { ...options, signal, onProgress: bar.update });
    bar.update("write report", 0, 1);
    // nothing to wait for from here on: leaving removes the unfinished folder and the browser
    signal.addEventListener("abort", () => {
      bar.stop();
      complain("interrupted");
      process.exit(Interrupted.exitStatus);
    });
    await finish(run, flags, bar.stop);
  } finally {
    bar.stop();
  }
}
