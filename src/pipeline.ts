import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { BatchNormMode } from "./fold.js";
import { parseBudget } from "./format.js";
import { type Graph, type Tensor, tensorBytes } from "./graph.js";
import { initialValues, seededGraph } from "./initial.js";
import { loadWithValues } from "./load.js";
import { lower } from "./lower.js";
import type { Plan } from "./plan.js";
import { planGraph } from "./plan.js";
import { type Profile, profileGraph, samplesOf } from "./profile.js";
import { openRuntime, readModel } from "./read.js";
import { rewrite } from "./rewrite.js";
import {
  type Environment,
  type Equality,
  newRunId,
  type PairedTimes,
  type Run,
  runFormatVersion,
  saveGraph,
} from "./run.js";
import type { Runtime } from "./runtime/runtime.js";
import { frozenNames, gradientName, type TrainingOptions, trainingStep } from "./training.js";

export interface ProfileModelOptions extends TrainingOptions {
  /** How batch norm runs, whatever the file says: with the batch's statistics or with frozen ones. */
  readonly batchNorm?: BatchNormMode;
  /** Size of each symbolic dimension. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Default `cpu`. */
  readonly backend?: string;
  /** `4GiB`, `500MB` or a share of the baseline's peak, `60%`. Without one nothing is planned, unless a planner is named. */
  readonly budget?: string;
  /** Default `mutwo`. */
  readonly planner?: string;
  readonly iterations?: number;
  readonly warmups?: number;
  readonly threads?: number;
  /** Of the initial values and of the data; default 0. */
  readonly seed?: number;
  /** How the run is made again, for the report. */
  readonly command?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** Bytes that a budget allows: a size as it is, a share of the baseline's peak. Throws `budget is not a size: …`. */
export function budgetBytesOf(budget: string, baselineBytes: number): number {
  const parsed = parseBudget(budget);
  return "bytes" in parsed ? parsed.bytes : Math.floor(parsed.share * baselineBytes);
}

/**
 * The whole path: reads the model, builds its training step, profiles it, plans for the budget, executes the plan and
 * compares. Writes nothing. Throws one line for wrong use or bad input; an infeasible budget is an answer, not an error.
 */
export async function profileModel(file: string, options: ProfileModelOptions): Promise<Run> {
  const seed = options.seed ?? 0;
  const progress = options.onProgress ?? (() => {});
  if (options.budget !== undefined) parseBudget(options.budget);
  const runtime = openRuntime(options.backend ?? "cpu", options.threads ? { threads: options.threads } : {});
  try {
    progress("read model", 0, 1);
    const { graph, model, notes } = readModel(file, {
      dims: options.dims ?? {},
      runtime,
      ...(options.batchNorm ? { batchNorm: options.batchNorm } : {}),
    });
    progress("build step", 0, 1);
    const step = trainingStep(graph, options);
    const baseline = seededGraph(
      lower(step, (node, tensors) => runtime.hasKernel(node, tensors)),
      seed,
    );
    const values = initialValues(baseline, step, seed);
    const measure = (stage: string, planned: Graph): Promise<Profile> =>
      profileGraph(planned, runtime, {
        values,
        ...(options.iterations === undefined ? {} : { iterations: options.iterations }),
        ...(options.warmups === undefined ? {} : { warmups: options.warmups }),
        ...(options.signal ? { signal: options.signal } : {}),
        onProgress: (done, total) => progress(stage, done, total),
      });
    const before = await measure("profile", baseline);
    const plan =
      options.budget === undefined && !options.planner ? null : makePlan(baseline, before, options, progress);
    let after: Profile | null = null;
    let equality: Equality | null = null;
    let paired: PairedTimes | null = null;
    if (plan?.feasible) {
      const planned = rewrite(baseline, plan.decisions);
      after = await measure("execute plan", planned);
      progress("compare", 0, 1);
      ({ equality, paired } = await compare(baseline, planned, runtime, values, options.signal));
    }
    const parameters = [...graph.tensors.values()].filter((tensor) => tensor.category === "parameter");
    return {
      format: "mutwo-run",
      version: runFormatVersion,
      id: newRunId(file),
      createdAt: new Date().toISOString(),
      command: options.command ?? commandOf(file, options),
      model: {
        file: path.basename(file),
        path: file,
        sha256: sha256Of(file),
        opset: model.opset,
        producer: model.producer,
        dims: options.dims ?? {},
        loss: options.loss,
        optimizer: options.optimizer,
        ...(options.accumulate === undefined ? {} : { accumulate: options.accumulate }),
        ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }),
        ...(options.freeze === undefined ? {} : { freeze: options.freeze }),
        ...(options.batchNorm === undefined ? {} : { batchNorm: options.batchNorm }),
        ...(options.precision === undefined ? {} : { precision: options.precision }),
        parameters: parameters.reduce((sum, t) => sum + t.shape.reduce((n, d) => n * d, 1), 0),
        parameterBytes: parameters.reduce((sum, t) => sum + tensorBytes(t), 0),
        notes: [...notes, ...untrainedNotes(parameters, step, options.freeze ?? [])],
      },
      environment: environment(runtime),
      seed,
      graph: saveGraph(baseline),
      before,
      plan,
      after,
      equality,
      paired,
      warnings: warningsOf(before, after, equality),
    };
  } finally {
    runtime.close();
  }
}

/** SHA-256 of a file, read piece by piece: model files are large. */
export function sha256Of(file: string): string {
  const hash = createHash("sha256");
  const piece = Buffer.alloc(2 ** 20);
  const descriptor = openSync(file, "r");
  try {
    for (let read = readSync(descriptor, piece); read > 0; read = readSync(descriptor, piece))
      hash.update(piece.subarray(0, read));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest("hex");
}

function makePlan(
  graph: Graph,
  before: Profile,
  options: ProfileModelOptions,
  progress: (stage: string, done: number, total: number) => void,
): Plan {
  progress("plan", 0, 1);
  return planGraph({
    graph,
    nodeMs: before.nodes.map((row) => row.time.medianMs),
    rows: before.activations,
    budgetBytes: options.budget === undefined ? null : budgetBytesOf(options.budget, before.arenaBytes),
    planner: options.planner ?? "mutwo",
  });
}

function warningsOf(before: Profile, after: Profile | null, equality: Equality | null): string[] {
  const warnings: string[] = [];
  for (const [which, profile] of [["unplanned", before] as const, ["planned", after] as const]) {
    const bad = profile?.losses.indexOf(null) ?? -1;
    if (bad >= 0) warnings.push(`the ${which} step's loss is not finite from iteration ${bad + 1} on`);
  }
  if (equality?.different.length)
    warnings.push(`${equality.different.length} tensors of the planned step differ from the unplanned one's`);
  return warnings;
}

/** Which parameters the step leaves as they are, and why. */
function untrainedNotes(parameters: readonly Tensor[], step: Graph, freeze: readonly string[]): string[] {
  const trained = new Set([...step.tensors.values()].filter((t) => t.within).map((t) => t.name));
  const frozen = frozenNames(parameters, freeze);
  const untrained = parameters.filter(({ name }) => !trained.has(name) && !frozen.has(name)).map(({ name }) => name);
  const few = (names: readonly string[]): string => `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}`;
  return [
    ...(frozen.size ? [`${frozen.size} parameters are frozen: ${few([...frozen])}`] : []),
    ...(untrained.length
      ? [`${untrained.length} parameters have no path to the loss and stay as they are: ${few(untrained)}`]
      : []),
  ];
}

/** Pairs of steps that are timed in turn. */
const timedPairs = 5;

/**
 * Runs both graphs from the same values: two steps whose loss, gradients and next state are compared bit by bit, then
 * further steps in turn, timed.
 */
async function compare(
  baseline: Graph,
  planned: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
  signal?: AbortSignal,
): Promise<{ equality: Equality; paired: PairedTimes }> {
  const gradients = [...baseline.tensors.values()]
    .filter((t) => t.category === "parameter" && t.within)
    .map((t) => gradientName(t.name));
  const observe = new Set([
    ...(baseline.loss ? [baseline.loss] : []),
    ...gradients,
    ...baseline.state.map((pair) => pair.after),
  ]);
  const options = signal ? { signal } : {};
  const { step: one } = loadWithValues(baseline, runtime, values);
  try {
    const { step: two } = loadWithValues(planned, runtime, values);
    try {
      const different: string[] = [];
      for (let i = 1; i <= 2; i++) {
        const { observed: expected } = await one.run({ observe, ...options });
        const { observed: actual } = await two.run({ observe, ...options });
        for (const name of observe) {
          const [p, q] = [expected.get(name), actual.get(name)];
          if (!p) throw new Error(`not observed: ${name}`);
          if (!q || Buffer.compare(p, q) !== 0) different.push(`${name} in step ${i}`);
        }
      }
      const times: [number[], number[]] = [[], []];
      for (let i = 0; i < timedPairs; i++) {
        times[0].push((await one.run(options)).stepMs);
        times[1].push((await two.run(options)).stepMs);
      }
      return {
        equality: { compared: 2 * observe.size, different },
        paired: { unplanned: samplesOf(times[0]), planned: samplesOf(times[1]) },
      };
    } finally {
      two.close();
    }
  } finally {
    one.close();
  }
}

/** The command line that makes a run again. */
function commandOf(file: string, options: ProfileModelOptions): string {
  const quote = (word: string): string => (/^[\w./:=%,@+-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`);
  const words = ["mutwo", "profile", file, "--loss", options.loss, "--optimizer", options.optimizer];
  for (const [name, size] of Object.entries(options.dims ?? {})) words.push("--dim", `${name}=${size}`);
  if (options.accumulate !== undefined) words.push("--accumulate", String(options.accumulate));
  if (options.clipNorm !== undefined) words.push("--clip-norm", String(options.clipNorm));
  for (const pattern of options.freeze ?? []) words.push("--freeze", pattern);
  if (options.batchNorm !== undefined) words.push("--batch-norm", options.batchNorm);
  if (options.precision !== undefined) words.push("--precision", options.precision);
  if (options.backend) words.push("--backend", options.backend);
  if (options.budget) words.push("--budget", options.budget);
  if (options.planner) words.push("--planner", options.planner);
  if (options.iterations !== undefined) words.push("--iterations", String(options.iterations));
  if (options.warmups !== undefined) words.push("--warmups", String(options.warmups));
  if (options.threads !== undefined) words.push("--threads", String(options.threads));
  if (options.seed !== undefined) words.push("--seed", String(options.seed));
  return words.map(quote).join(" ");
}

/** What a report says of where it was made. */
export function environment(runtime: Runtime): Environment {
  return {
    mutwo: (JSON.parse(readFileSync(path.join(__dirname, "../package.json"), "utf8")) as { version: string }).version,
    node: process.version,
    onnxruntime: runtime.device.runtimeVersion,
    os: `${os.type()} ${os.release()} ${os.arch()}`,
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
  };
}
