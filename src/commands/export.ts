import type { Command } from "commander";
import type { ExportRunOptions } from "../export/export-file.js";
import { givenOrNewest } from "./newest.js";
import { printJson } from "./process.js";

interface ExportFlags extends ExportRunOptions {
  readonly out: string;
  readonly json?: boolean;
}

/** `mutwo export`: writes a run's training step as a plain ONNX file. */
export const exportCommand = (root: Command): Command =>
  root
    .command("export [run]")
    .description(
      "write a run's training step, planned if it has a plan, as a plain ONNX file; of the newest run in ./reports if none is named",
    )
    .requiredOption("--out <file>", "the ONNX file")
    .option("--unplanned", "leave the run's plan out")
    .option("--feed-state", "parameters and state are inputs only; their first values go to a safetensors file")
    .option("--exact", "keep ops of ONNX Runtime's own, so that there it gives the same bits as here on the CPU")
    .option("--hide-shapes", "leave out shapes between nodes, so that ONNX Runtime frees values at their last use")
    .option("--model <file>", "the model file, where it is not at the run's path any more")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(exportFile);

export async function exportFile(given: string | undefined, { out, json, ...options }: ExportFlags): Promise<void> {
  const { exportRun } = await import("../export/export-file.js");
  const { readRun } = await import("../run/read-run.js");
  const { files, recomputed, names } = exportRun(readRun(givenOrNewest(given)), out, options);
  if (json) {
    const gradients = Object.fromEntries(names.gradients);
    const next = Object.fromEntries(names.next);
    const { inputs, loss } = names;
    const losses = names.losses.size ? { losses: Object.fromEntries(names.losses) } : {};
    printJson({ files, recomputed, inputs, loss, ...losses, gradients, next });
  } else for (const written of files) process.stdout.write(`exported: ${written}\n`);
}
