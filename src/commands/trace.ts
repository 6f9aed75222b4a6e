import path from "node:path";
import { type Command, Option } from "commander";
import type { StepName } from "../run/timed-steps.js";
import { givenOrNewest } from "./newest.js";

interface TraceFlags {
  readonly out?: string;
  readonly format: keyof typeof formats;
  readonly step?: StepName;
}

/** The forms that a trace has: the file's name beside run.json, and where to look at it. */
const formats = {
  perfetto: { file: "trace.json", viewer: "https://ui.perfetto.dev or chrome://tracing" },
  "memory-viz": { file: "memory.pickle", viewer: "https://pytorch.org/memory_viz" },
} as const;

/** `mutwo trace`: writes the steps of a saved run in a form that other tools show. */
export const traceCommand = (root: Command): Command =>
  root
    .command("trace [run]")
    .description(
      "write the steps of a saved run (the newest in ./reports if none is named) for a trace viewer, or for PyTorch's memory viewer",
    )
    .addOption(
      new Option(
        "--format <format>",
        "perfetto: phases, kernels, copies and live bytes in time (Trace Event Format); memory-viz: who lies where in the arena, as a snapshot of PyTorch's allocator (device 0 the unplanned step, 1 the planned one)",
      )
        .choices(Object.keys(formats))
        .default("perfetto"),
    )
    .addOption(new Option("--step <step>", "only one of the steps (default: both)").choices(["unplanned", "planned"]))
    .option("--out <file>", "the file (default: trace.json or memory.pickle beside run.json)")
    .action(trace);

async function trace(given: string | undefined, { out, format, step }: TraceFlags): Promise<void> {
  const place = givenOrNewest(given);
  const { writeWhole } = await import("../writing.js");
  const { checkFileWritable } = await import("../run/folder.js");
  const { readRun } = await import("../run/read-run.js");
  const { runFile } = await import("../run/run.js");
  const { timedSteps } = await import("../run/timed-steps.js");
  const run = readRun(place);
  const file = runFile(place);
  if (step === "planned" && !run.plan) throw new Error(`run has no plan: ${file}`);
  const { file: name, viewer } = formats[format];
  const written = out ?? path.join(path.dirname(file), name);
  checkFileWritable("trace", written, [file]);
  const steps = timedSteps(run).filter((one) => step === undefined || one.name === step);
  const { traceJson } = await import("../report/trace.js");
  const { memorySnapshot } = await import("../report/memory-snapshot.js");
  writeWhole(written, format === "perfetto" ? traceJson(run, steps) : memorySnapshot(run, steps));
  process.stdout.write(`trace: ${written} (open it in ${viewer})\n`);
}
