import type { Command } from "commander";
import type { Advice } from "../run/advise.js";
import type { Run } from "../run/run.js";
import { givenOrNewest } from "./newest.js";
import { Interrupted, interruptible, printJson } from "./process.js";

interface AdviseFlags {
  readonly count: string;
  readonly json?: boolean;
}

/** `mutwo advise`: tries the best findings of a saved run, and says what was promised beside what came of it. */
export const adviseCommand = (root: Command): Command =>
  root
    .command("advise [run]")
    .description(
      "try the best findings of a saved run (the newest in ./reports if none is named): profile again with other options where model and device are here, else build and plan again",
    )
    .option("--count <n>", "so many findings", "3")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(advise);

export async function advise(given: string | undefined, flags: AdviseFlags): Promise<void> {
  if (!/^[1-9]\d*$/.test(flags.count))
    throw new Error(`count is not a whole number from 1 on: ${flags.count} (use --count 3)`);
  const { readRun } = await import("../run/read-run.js");
  const { adviseRun } = await import("../run/advise.js");
  const { progressBar } = await import("./progress.js");
  const run = readRun(givenOrNewest(given));
  const bar = progressBar(process.stderr);
  const signal = interruptible();
  let advice: Advice;
  try {
    advice = await adviseRun(run, { count: Number(flags.count), signal, onProgress: bar.update });
  } catch (error) {
    throw signal.aborted && signal.reason instanceof Interrupted ? signal.reason : error;
  } finally {
    bar.stop();
  }
  if (flags.json) printJson(await asJson(run, advice));
  else {
    const { adviceSummary } = await import("./advice-summary.js");
    process.stdout.write(`${adviceSummary(run, advice)}\n`);
  }
}

async function asJson(run: Run, advice: Advice): Promise<object> {
  const { findingsOf } = await import("../run/findings.js");
  return { run: run.id, findings: findingsOf(run), ...advice };
}
