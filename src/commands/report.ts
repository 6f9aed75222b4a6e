import path from "node:path";
import type { Command } from "commander";

/** `mutwo report`: makes the report of a saved run again, beside its run.json. */
export const reportCommand = (root: Command): Command =>
  root
    .command("report <run>")
    .description("make the report of a saved run.json again, beside it")
    .option("--pdf", "the PDF and the PNG files too")
    .action(report);

export async function report(file: string, flags: { pdf?: boolean }): Promise<void> {
  const { readRun, runFile } = await import("../run/run.js");
  const { rewriteReport } = await import("../report/write.js");
  for (const written of await rewriteReport(readRun(file), path.dirname(runFile(file)), flags.pdf ?? false))
    process.stdout.write(`report: ${written}\n`);
}
