import { Argument, type Command, type Option } from "commander";
import { completionScript, shells } from "./completion-script.js";

/** `mutwo completion`: prints a script by which a shell completes mutwo's commands, options and their values. */
export const completionCommand = (root: Command): Command =>
  root
    .command("completion")
    .description("print a script by which bash or zsh completes commands, options and their values")
    .addArgument(new Argument("<shell>", "which shell").choices(shells))
    .action(async (shell: (typeof shells)[number]) => {
      const values = await namesByOption();
      const valuesOf = (option: Option): readonly string[] => option.argChoices ?? values[option.long ?? ""] ?? [];
      process.stdout.write(completionScript(shell, root, valuesOf));
    });

/** Names that options take which are checked only when they are used. */
async function namesByOption(): Promise<Readonly<Record<string, readonly string[]>>> {
  const { lossNames } = await import("../step/loss.js");
  const { optimizerNames } = await import("../step/optimizer.js");
  const { allPlannerNames } = await import("../plan/planners/index.js");
  const { backends, estimateBackend } = await import("../runtime/backends.js");
  const { metricNames } = await import("../train/metrics.js");
  const { scheduleNames } = await import("../step/schedule.js");
  const { deviceNames } = await import("../runtime/device-spec.js");
  return {
    "--loss": lossNames,
    "--optimizer": optimizerNames,
    "--planner": allPlannerNames,
    "--backend": [...backends, estimateBackend, "replay:"],
    "--device-spec": deviceNames,
    "--precision": ["mixed", "float64"],
    "--schedule": scheduleNames,
    "--metric": metricNames,
    "--monitor": ["loss", ...metricNames],
    "--checkpoint-every": ["epoch", "never"],
  };
}
