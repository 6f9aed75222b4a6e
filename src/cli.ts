#!/usr/bin/env node
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { BatchNormMode } from "./model/bind.js";
import { ownVersion } from "./root.js";
import type { ProfileModelOptions } from "./run/options.js";
import type { Run } from "./run/run.js";

// Everything else is imported when a command needs it, so that `mutwo --help` is instant.

const collectDim = (text: string, before: Record<string, number>): Record<string, number> => {
  const [, name, size] = /^([^=]+)=(\d+)$/.exec(text) ?? [];
  if (!name || !Number(size)) throw new InvalidArgumentError("use NAME=N with a positive whole number, batch=32");
  if (before[name] !== undefined && before[name] !== Number(size))
    throw new InvalidArgumentError(`contradicting dimension: ${name} is ${before[name]} and ${size}`);
  return { ...before, [name]: Number(size) };
};

const collectParameter = (text: string, before: Record<string, string>): Record<string, string> => {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("use name=value");
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
};

const collect = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];

const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError("use a positive number");
  return value;
};

const count =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`use a whole number from ${least} on`);
    return value;
  };

const print = (object: unknown): void => {
  process.stdout.write(`${JSON.stringify(object)}\n`);
};

/** Ends a long command between two nodes on Ctrl-C; a second Ctrl-C ends the process at once. */
function interruptible(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => controller.abort(new Error(`interrupted (${name})`)));
  return controller.signal;
}

/** What `profile --json` prints (design: a contract). */
const summaryOf = (run: Run, folder: string) => ({
  run: path.join(folder, "run.json"),
  peakBytes: run.before.arenaBytes,
  measuredPeakBytes: run.before.allocatedBytes,
  stepMs: run.before.step.medianMs,
  plan: run.plan && {
    feasible: run.plan.feasible,
    peakBytes: run.plan.peakBytes,
    addedMs: run.plan.addedMs,
    recompute: run.plan.decisions.filter((d) => d.action === "recompute").map((d) => d.activation),
    swap: run.plan.decisions.filter((d) => d.action === "swap").map((d) => d.activation),
    minimumPeakBytes: run.plan.minimumPeakBytes,
  },
  after: run.after && {
    peakBytes: run.after.arenaBytes,
    measuredPeakBytes: run.after.allocatedBytes,
    stepMs: run.after.step.medianMs,
  },
});

/** Writes a run's folder and says where; the exit status is 1 if its budget cannot be met. */
async function finish(run: Run, options: { out: string; json?: boolean; pictures: boolean }): Promise<void> {
  const { writeRun } = await import("./report/write.js");
  const { folder, run: written } = await writeRun(run, { folder: options.out, pictures: options.pictures });
  if (options.json) print(summaryOf(written, folder));
  else {
    const { runSummary } = await import("./commands/summary.js");
    process.stdout.write(`${runSummary(written)}\nreport: ${path.join(folder, "report.html")}\n`);
  }
  if (written.plan && !written.plan.feasible) {
    const { infeasibleLine } = await import("./report/sentences.js");
    process.stderr.write(`mutwo: ${infeasibleLine(written.plan)}\n`);
    process.exitCode = 1;
  } else if (written.equality?.different.length) process.exitCode = 1;
}

interface ProfileFlags {
  loss: string;
  optimizer: string;
  dim: Record<string, number>;
  backend: string;
  budget?: string;
  planner?: string;
  out: string;
  json?: boolean;
  pictures: boolean;
  iterations?: number;
  warmups?: number;
  threads?: number;
  device?: number;
  tf32: boolean;
  deterministic?: boolean;
  checkFinite?: boolean;
  record?: string;
  seed: number;
  accumulate?: number;
  clipNorm?: number;
  freeze?: string[];
  precision?: string;
  batchNorm?: BatchNormMode;
}

async function profile(model: string, flags: ProfileFlags): Promise<void> {
  const { profileModel } = await import("./run/pipeline.js");
  const { checkWritable } = await import("./run/folder.js");
  const { progressBar } = await import("./commands/progress.js");
  checkWritable(flags.out);
  const bar = progressBar(process.stderr);
  const signal = interruptible();
  const options: ProfileModelOptions = {
    loss: flags.loss,
    optimizer: flags.optimizer,
    dims: flags.dim,
    backend: flags.backend,
    seed: flags.seed,
    signal,
    onProgress: bar.update,
    ...(flags.budget === undefined ? {} : { budget: flags.budget }),
    ...(flags.planner === undefined ? {} : { planner: flags.planner }),
    ...(flags.iterations === undefined ? {} : { iterations: flags.iterations }),
    ...(flags.warmups === undefined ? {} : { warmups: flags.warmups }),
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    ...(flags.device === undefined ? {} : { device: flags.device }),
    ...(flags.tf32 ? {} : { tf32: false }),
    ...(flags.deterministic ? { deterministic: true } : {}),
    ...(flags.checkFinite ? { checkFinite: true } : {}),
    ...(flags.record === undefined ? {} : { record: flags.record }),
    ...(flags.accumulate === undefined ? {} : { accumulate: flags.accumulate }),
    ...(flags.clipNorm === undefined ? {} : { clipNorm: flags.clipNorm }),
    ...(flags.freeze === undefined ? {} : { freeze: flags.freeze }),
    ...(flags.precision === undefined ? {} : { precision: flags.precision }),
    ...(flags.batchNorm === undefined ? {} : { batchNorm: flags.batchNorm }),
  };
  try {
    const run = await profileModel(model, options);
    bar.update("write report", 0, 1);
    // nothing to wait for from here on: leaving removes the unfinished folder and the browser
    signal.addEventListener("abort", () => {
      process.stderr.write("mutwo: interrupted\n");
      process.exit(130);
    });
    await finish(run, flags);
  } finally {
    bar.stop();
  }
}

async function plan(
  file: string,
  flags: { budget?: string; planner: string; out: string; json?: boolean; pictures: boolean },
) {
  const { planRun } = await import("./run/replan.js");
  const { readRun } = await import("./run/run.js");
  const command = `mutwo plan ${file}${flags.budget ? ` --budget ${flags.budget}` : ""} --planner ${flags.planner}`;
  const run = planRun(readRun(file), {
    ...(flags.budget ? { budget: flags.budget } : {}),
    planner: flags.planner,
    command,
  });
  await finish(run, flags);
}

async function report(file: string, flags: { pdf?: boolean }): Promise<void> {
  const { readRun } = await import("./run/run.js");
  const { rewriteReport } = await import("./report/write.js");
  for (const written of await rewriteReport(readRun(file), path.dirname(file), flags.pdf ?? false))
    process.stdout.write(`report: ${written}\n`);
}

async function verify(
  model: string,
  flags: {
    reference: string;
    loss: string;
    dim: Record<string, number>;
    backend: string;
    device?: number;
    tf32: boolean;
    deterministic?: boolean;
    json?: boolean;
    batchNorm?: BatchNormMode;
  },
): Promise<void> {
  const { verifyModel } = await import("./run/verify.js");
  const result = await verifyModel(model, {
    reference: flags.reference,
    loss: flags.loss,
    dims: flags.dim,
    backend: flags.backend,
    ...(flags.device === undefined ? {} : { device: flags.device }),
    ...(flags.tf32 ? {} : { tf32: false }),
    ...(flags.deterministic ? { deterministic: true } : {}),
    ...(flags.batchNorm === undefined ? {} : { batchNorm: flags.batchNorm }),
  });
  if (flags.json) print(result);
  else {
    const { verificationSummary } = await import("./commands/summary.js");
    process.stdout.write(`${verificationSummary(result)}\n`);
  }
  if (!result.ok) process.exitCode = 1;
}

async function exportFile(
  file: string,
  flags: {
    out: string;
    unplanned?: boolean;
    feedState?: boolean;
    hideShapes?: boolean;
    model?: string;
    json?: boolean;
  },
): Promise<void> {
  const { exportRun } = await import("./export/export-file.js");
  const { readRun } = await import("./run/run.js");
  const { out, json, ...options } = flags;
  const { files, recomputed, names } = exportRun(readRun(file), out, options);
  if (json) {
    const gradients = Object.fromEntries(names.gradients);
    const next = Object.fromEntries(names.next);
    print({ files, recomputed, inputs: names.inputs, loss: names.loss, gradients, next });
  } else for (const written of files) process.stdout.write(`exported: ${written}\n`);
}

async function runNotebookFile(
  file: string,
  flags: { out?: string; parameter: Record<string, string> },
): Promise<void> {
  const { runNotebook } = await import("./notebook/notebook.js");
  const output = flags.out ?? file;
  const result = await runNotebook(file, { output, parameters: flags.parameter, signal: interruptible() });
  if (result.failedCell) {
    process.stderr.write(`mutwo: cell ${result.failedCell.index} failed: ${result.failedCell.message}\n`);
    process.exitCode = 1;
  } else process.stdout.write(`notebook: ${output}\n`);
}

async function installNotebookKernel(flags: { dataDir?: string }): Promise<void> {
  const { installKernel } = await import("./notebook/install.js");
  process.stdout.write(`kernel: ${installKernel(flags.dataDir ? { dataDir: flags.dataDir } : {})}\n`);
}

async function installCudaProvider(flags: { cuda?: "12" | "13"; dir?: string }): Promise<void> {
  const { installCuda } = await import("./commands/cuda-install.js");
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const { folder, cudaMajor, library } = await installCuda({
    ...(flags.cuda === undefined ? {} : { cudaMajor: Number(flags.cuda) as 12 | 13 }),
    ...(flags.dir === undefined ? {} : { folder: flags.dir }),
    onProgress: say,
    signal: interruptible(),
  });
  process.stdout.write(`provider for CUDA ${cudaMajor}: ${folder}\n`);
  const { ORT_LIBRARY: other } = process.env;
  if (flags.dir !== undefined) say(`to use it: export ORT_LIBRARY=${library}`);
  else if (other !== undefined) say(`warning: ORT_LIBRARY is used instead: ${other}`);
  process.env.ORT_LIBRARY = library;
  const { checkCuda, cudaAdvice } = await import("./commands/doctor-cuda.js");
  const { lookForCuda } = await import("./runtime/libraries/cuda-libraries.js");
  const advice = cudaAdvice(lookForCuda());
  for (const line of advice) say(`warning: ${line}`);
  try {
    if (!advice.length) process.stdout.write(`cuda backend: ${await checkCuda()}\n`);
  } catch (error) {
    say(`warning: the cuda backend does not work here: ${(error as Error).message.split("\n")[0]}`);
  }
}

async function doctor(flags: { json?: boolean }): Promise<void> {
  const { examine, doctorSummary } = await import("./commands/doctor.js");
  const findings = await examine();
  if (flags.json) print(findings);
  else process.stdout.write(`${doctorSummary(findings)}\n`);
}

const batchNormOption = (): Option =>
  new Option("--batch-norm <mode>", "run batch norm so, whatever the file says").choices(["training", "inference"]);

const lossHelp = "ce, mse, l1, bce or sum, with settings: ce:axis=1,label_smoothing=0.1,ignore_index=-100,output=NAME";

export function program(): Command {
  const root = new Command("mutwo")
    .description(
      "Profiles the training step of an ONNX model, plans it into a memory budget, executes the plan and reports.",
    )
    .version(ownVersion())
    .showHelpAfterError("(mutwo --help lists what there is)")
    .exitOverride();
  const common = (command: Command): Command =>
    command
      .option("--out <dir>", "folder that gets the run's folder", "reports")
      .option("--no-pictures", "leave out the PDF and the PNG files (no browser needed)")
      .option("--json", "print one JSON object on stdout and nothing else");
  common(
    root
      .command("profile <model>")
      .description("profile a model's training step; with --budget, plan and execute the plan")
      .requiredOption("--loss <name>", lossHelp)
      .requiredOption("--optimizer <name>", "sgd, adam or adamw, with settings: adam:lr=1e-3,betas=0.9/0.999")
      .option("--dim <name=N>", "size of a symbolic dimension (repeat)", collectDim, {})
      .option("--accumulate <n>", "micro-batches of that size before each update", count(1))
      .option("--clip-norm <x>", "scale gradients down to this norm over all parameters", positive)
      .option("--freeze <pattern>", "leave parameters untrained: 'encoder.*' (repeat)", collect)
      .option("--precision <name>", "mixed: float16 products, float32 parameters (mixed:type=bfloat16,loss_scale=1)")
      .addOption(batchNormOption())
      .option("--backend <name>", "cpu, cuda, or replay:FILE of a recording", "cpu")
      .option("--record <file>", "write what is measured to a file that --backend replay:FILE reads")
      .option("--device <n>", "which GPU (default 0)", count(0))
      .option("--no-tf32", "products and convolutions in full float32 on a GPU")
      .option("--deterministic", "only kernels that give the same bits each time")
      .option("--check-finite", "name the first node that makes a NaN or an infinity, if the loss is not finite")
      .option("--budget <size>", "4GiB, 500MB, or 60% of the baseline's peak")
      .option("--planner <name>", "mutwo, keepAll, recomputeAll or swapAll")
      .option("--iterations <n>", "measured steps of each kind (default 5)", count(1))
      .option("--warmups <n>", "steps before them (default 2)", count(0))
      .option("--threads <n>", "threads of the CPU kernels (default: all cores)", count(1))
      .option("--seed <n>", "seed of initial values and data", count(0), 0),
  ).action(profile);
  common(
    root
      .command("plan <run>")
      .description("plan again from a saved run.json, without a device")
      .option("--budget <size>", "4GiB, 500MB, or 60% of the baseline's peak")
      .option("--planner <name>", "mutwo, keepAll, recomputeAll or swapAll", "mutwo"),
  ).action(plan);
  root
    .command("report <run>")
    .description("make the report of a saved run.json again, beside it")
    .option("--pdf", "the PDF and the PNG files too")
    .action(report);
  root
    .command("verify <model>")
    .description("compare loss, gradients, running statistics and training curves with reference values")
    .requiredOption("--reference <file>", "safetensors file with the reference values")
    .requiredOption("--loss <name>", lossHelp)
    .option("--dim <name=N>", "size of a symbolic dimension (repeat)", collectDim, {})
    .addOption(batchNormOption())
    .option("--backend <name>", "cpu or cuda", "cpu")
    .option("--device <n>", "which GPU (default 0)", count(0))
    .option("--no-tf32", "products and convolutions in full float32 on a GPU")
    .option("--deterministic", "only kernels that give the same bits each time")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(verify);
  root
    .command("export <run>")
    .description("write a run's training step, planned if it has a plan, as a plain ONNX file")
    .requiredOption("--out <file>", "the ONNX file")
    .option("--unplanned", "leave the run's plan out")
    .option("--feed-state", "parameters and state are inputs only; their first values go to a safetensors file")
    .option("--hide-shapes", "leave out shapes between nodes, so that ONNX Runtime frees values at their last use")
    .option("--model <file>", "the model file, where it is not at the run's path any more")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(exportFile);
  const notebook = root.command("notebook").description("TypeScript notebooks");
  notebook
    .command("run <file>")
    .description("run an .ipynb from top to bottom without Jupyter")
    .option("--out <file>", "where the notebook with outputs goes (default: in place)")
    .option("-p, --parameter <name=value>", "value for the cell tagged parameters (repeat)", collectParameter, {})
    .action(runNotebookFile);
  root
    .command("kernel")
    .description("the Jupyter kernel")
    .command("install")
    .description("register the TypeScript kernel with Jupyter")
    .option("--data-dir <dir>", "Jupyter's data folder (default: the user's)")
    .action(installNotebookKernel);
  root
    .command("cuda")
    .description("the CUDA backend")
    .command("install")
    .description("fetch ONNX Runtime's CUDA provider, and check the backend")
    .addOption(new Option("--cuda <major>", "for CUDA 12 or 13 (default: what the driver runs)").choices(["12", "13"]))
    .option("--dir <dir>", "folder for it (default: in mutwo's cache, where the backend looks)")
    .action(installCudaProvider);
  root
    .command("doctor")
    .description("what is installed, which backends work and why not")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(doctor);
  return root;
}

/** Runs a command line; any error becomes one line on stderr and exit status 2. */
async function main(argv: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode !== 0) process.exitCode = 2;
      return; // commander has printed its line
    }
    const { message, stack } = error as Error;
    process.stderr.write(`mutwo: ${message.split("\n")[0]}\n`);
    if (process.env.MUTWO_STACK) writeFileSync(2, `${stack}\n`);
    process.exitCode = message.startsWith("interrupted") ? 130 : 2;
  }
}

void main(process.argv);
