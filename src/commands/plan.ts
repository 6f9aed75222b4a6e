import type { Command } from "commander";
import { finish, type OutcomeFlags, outcomeOptions } from "./outcome.js";

interface PlanFlags extends OutcomeFlags {
  readonly budget?: string;
  readonly planner: string;
}

/** `mutwo plan`: plans again from a saved run. */
export const planCommand = (root: Command): Command =>
  outcomeOptions(
    root
      .command("plan <run>")
      .description("plan again from a saved run.json, without a device")
      .option("--budget <size>", "4GiB, 500MB, or 60% of the baseline's peak")
      .option("--planner <name>", "mutwo, keepAll, recomputeAll or swapAll", "mutwo"),
  ).action(plan);

export async function plan(file: string, flags: PlanFlags): Promise<void> {
  const { planRun } = await import("../run/replan.js");
  const { readRun } = await import("../run/run.js");
  const { budget, planner } = flags;
  const command = `mutwo plan ${file}${budget ? ` --budget ${budget}` : ""} --planner ${planner}`;
  await finish(planRun(readRun(file), { budget, planner, command }), flags);
}
