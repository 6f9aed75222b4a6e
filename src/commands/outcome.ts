import path from "node:path";
import type { Command } from "commander";
import type { Fit } from "../run/fit.js";
import { checkWritable } from "../run/folder.js";
import { optionGroups } from "../run/option-kinds.js";
import type { Run } from "../run/run.js";
import { printJson } from "./process.js";
import { complain, inColour } from "./terminal.js";

/** What a command that makes a run takes besides the run's own options: where it goes and how it is said. */
export interface OutcomeFlags {
  readonly out: string;
  readonly pictures: boolean;
  readonly json?: boolean;
}

/** Adds the options of `OutcomeFlags` to a command. */
export const outcomeOptions = (command: Command): Command =>
  command
    .optionsGroup(optionGroups.output)
    .option("--out <dir>", "folder that gets the run's folder", "reports")
    .option("--no-pictures", "leave out the PDF and the PNG files (no browser needed)")
    .option("--json", "print one JSON object on stdout and nothing else");

/** Throws `output folder not writable: …`. */
export const checkOut = ({ out }: OutcomeFlags): void => checkWritable(out);

/** What `profile --json` and `plan --json` print (design: a contract). */
const summaryOf = (run: Run, folder: string) => ({
  run: path.join(folder, "run.json"),
  peakBytes: run.before.arenaBytes,
  measuredPeakBytes: run.before.allocatedBytes,
  stepMs: run.before.step.medianMs,
  ...(run.before.estimated ? { estimated: true } : {}),
  ...(run.together ? { together: run.together } : {}),
  plan: run.plan && {
    feasible: run.plan.feasible,
    peakBytes: run.plan.peakBytes,
    addedMs: run.plan.addedMs,
    recompute: run.plan.decisions.filter((d) => d.action === "recompute").map((d) => d.activation),
    swap: run.plan.decisions.filter((d) => d.action === "swap").map((d) => d.activation),
    ...(run.plan.states ? { states: run.plan.states.map(({ state }) => state) } : {}),
    minimumPeakBytes: run.plan.minimumPeakBytes,
  },
  after: run.after && {
    peakBytes: run.after.arenaBytes,
    measuredPeakBytes: run.after.allocatedBytes,
    stepMs: run.after.step.medianMs,
  },
});

/**
 * Writes a run's folder and says where, after `beforePrint`; the exit status is 1 if its budget cannot be met or its plan computes
 * otherwise.
 */
export async function finish(run: Run, flags: OutcomeFlags, beforePrint = () => {}): Promise<void> {
  const { runSummary } = await import("./summary.js");
  const written = await write(run, flags, summaryOf, runSummary, beforePrint);
  if (written.plan && !written.plan.feasible) {
    const { infeasibleLine } = await import("../report/sentences.js");
    complain(infeasibleLine(written.plan));
    process.exitCode = 1;
  } else if (written.equality?.different.length) process.exitCode = 1;
}

/** Says what fits into some memory; writes nothing. The exit status is 1 if not even a batch of 1 does. */
export async function finishFit(run: Run, fit: Fit, { json }: OutcomeFlags): Promise<void> {
  const { fitSummary } = await import("./summary.js");
  if (json) printJson({ ...fit, estimated: true });
  else process.stdout.write(`${fitSummary(run, fit)}\n`);
  if (!fit.planned) process.exitCode = 1;
}

/** Writes the folder of a run with a sweep over budgets, and says what the sweep came to. */
export async function finishSweep(run: Run, flags: OutcomeFlags, beforePrint = () => {}): Promise<void> {
  const { tradeoffSummary } = await import("./summary.js");
  const { kneeOf, leastPeakOf } = await import("../run/tradeoff.js");
  const json = ({ tradeoff = [], before }: Run, folder: string) => ({
    run: path.join(folder, "run.json"),
    peakBytes: before.arenaBytes,
    stepMs: before.step.medianMs,
    ...(before.estimated ? { estimated: true } : {}),
    tradeoff: { points: tradeoff, knee: kneeOf(tradeoff, before.step.medianMs), least: leastPeakOf(tradeoff) },
  });
  await write(run, flags, json, tradeoffSummary, beforePrint);
}

/** Writes a run's folder and prints it, as JSON or as text with the place of its report; returns it as written. */
async function write(
  run: Run,
  flags: OutcomeFlags,
  json: (run: Run, folder: string) => object,
  text: (run: Run) => string,
  beforePrint = () => {},
): Promise<Run> {
  const { writeRun } = await import("../report/write.js");
  const { folder, run: written } = await writeRun(run, { folder: flags.out, pictures: flags.pictures });
  beforePrint();
  if (flags.json) printJson(json(written, folder));
  else
    process.stdout.write(inColour(`${text(written)}\nreport: ${path.join(folder, "report.html")}\n`, process.stdout));
  return written;
}
