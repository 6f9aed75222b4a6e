import type { Command } from "commander";
import { printJson } from "./process.js";

/** `mutwo sweep report`: tables and charts of a sweep, from its folder alone. */
export const sweepReportCommand = (sweep: Command): Command =>
  sweep
    .command("report <place>")
    .description("write sweep.html and sweep.csv of what is there so far: from the folder alone, at any moment")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(sweepReport);

export async function sweepReport(place: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { readSweep } = await import("../sweep/state.js");
  const { writeSweep } = await import("../report/sweep-page.js");
  const sweep = readSweep(place);
  const files = writeSweep(sweep);
  if (json) {
    const { statusJson } = await import("./sweep-status.js");
    printJson({ ...(await statusJson(sweep)), ...files });
  } else process.stdout.write(`report: ${files.report}\ntable: ${files.csv}\n`);
}
