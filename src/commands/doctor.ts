import type { Command } from "commander";
import { printJson } from "./process.js";

/** `mutwo doctor`: says what is installed and what works. */
export const doctorCommand = (root: Command): Command =>
  root
    .command("doctor")
    .description("what is installed, which backends work and why not")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(doctor);

export async function doctor(flags: { json?: boolean }): Promise<void> {
  const { examine, doctorSummary } = await import("./examination.js");
  const findings = await examine();
  if (flags.json) printJson(findings);
  else process.stdout.write(`${doctorSummary(findings)}\n`);
}
