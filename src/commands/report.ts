import path from "node:path";
import type { Command } from "commander";
import { givenOrNewest } from "./newest.js";

/** `mutwo report`: makes the report of a saved run again, beside its run.json. */
export const reportCommand = (root: Command): Command =>
  root
    .command("report [run]")
    .description(
      "make the report of a saved run again, beside its run.json; of the newest in ./reports if none is named; of a training too",
    )
    .option("--pdf", "the PDF and the PNG files too")
    .action(report);

export async function report(given: string | undefined, flags: { pdf?: boolean }): Promise<void> {
  const { trainingFile } = await import("../train/training.js");
  const training = given === undefined ? undefined : trainingFile(given);
  if (training !== undefined) {
    const { readTraining } = await import("../train/training.js");
    const { rewriteTraining } = await import("../report/write-training.js");
    for (const written of await rewriteTraining(readTraining(training), path.dirname(training), flags.pdf ?? false))
      process.stdout.write(`report: ${written}\n`);
    return;
  }
  const file = givenOrNewest(given);
  const { readRun } = await import("../run/read-run.js");
  const { runFile } = await import("../run/run.js");
  const { rewriteReport } = await import("../report/write.js");
  for (const written of await rewriteReport(readRun(file), path.dirname(runFile(file)), flags.pdf ?? false))
    process.stdout.write(`report: ${written}\n`);
}
