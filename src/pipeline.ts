import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { firstNonFinite } from "./finite.js";
import type { BatchNormMode } from "./fold.js";
import { formatBytes, parseBudget } from "./format.js";
import { type DType, type Graph, type Tensor, tensorBytes } from "./graph.js";
import { initialValues, seededGraph } from "./initial.js";
import { layout } from "./layout.js";
import { timeline } from "./liveness.js";
import { loadWithValues } from "./load.js";
import { lowerFor } from "./lower.js";
import type { Plan } from "./plan.js";
import { planGraph } from "./plan.js";
import { type Profile, profileGraph, profileOffloaded, samplesOf } from "./profile.js";
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
import { encodeRecording, recordingRuntime } from "./runtime/recording.js";
import type { Runtime } from "./runtime/runtime.js";
import { savedActivations } from "./saved.js";
import { frozenNames, gradientName, type TrainingOptions, trainingStep } from "./training.js";
import { valuesOf } from "./values.js";

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
  /** Which GPU, default 0. */
  readonly device?: number;
  /** Whether a GPU may round the inputs of products to TF32; default true. */
  readonly tf32?: boolean;
  /** Only kernels that give the same bits each time. */
  readonly deterministic?: boolean;
  /** Say which node first makes a NaN or an infinity, if the loss is not finite. */
  readonly checkFinite?: boolean;
  /** Write what is measured to this file, to be replayed without a device (`--backend replay:FILE`). */
  readonly record?: string;
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
  const { threads, device, tf32, deterministic } = options;
  const opened = openRuntime(options.backend ?? "cpu", {
    ...(threads === undefined ? {} : { threads }),
    ...(device === undefined ? {} : { device }),
    ...(tf32 === undefined ? {} : { tf32 }),
    ...(deterministic === undefined ? {} : { deterministic }),
  });
  const recorder = options.record === undefined ? undefined : recordingRuntime(opened);
  const runtime = recorder?.runtime ?? opened;
  const replays = runtime.backend === "replay";
  try {
    progress("read model", 0, 1);
    const { graph, model, notes } = readModel(file, {
      dims: options.dims ?? {},
      runtime,
      ...(options.batchNorm ? { batchNorm: options.batchNorm } : {}),
    });
    progress("build step", 0, 1);
    const step = trainingStep(graph, options);
    const baseline = seededGraph(lowerFor(runtime, step), seed);
    const values = replays ? new Map<string, Uint8Array>() : initialValues(baseline, step, seed);
    const measure = (stage: string, planned: Graph): Promise<Profile> =>
      profileGraph(planned, runtime, {
        values,
        ...(options.iterations === undefined ? {} : { iterations: options.iterations }),
        ...(options.warmups === undefined ? {} : { warmups: options.warmups }),
        ...(options.signal ? { signal: options.signal } : {}),
        onProgress: (done, total) => progress(stage, done, total),
      });
    const fits = !runtime.freeBytes || layout(baseline).arenaBytes <= runtime.freeBytes();
    // what the planned step is compared with: the unplanned one, or if that does not fit, the one with all swapped out
    const reference = fits ? baseline : offload(baseline, runtime);
    const measured = await measure("profile", reference);
    const before = fits ? measured : profileOffloaded(baseline, reference, measured);
    const plan =
      options.budget === undefined && !options.planner ? null : makePlan(baseline, before, options, progress);
    let after: Profile | null = null;
    let equality: Equality | null = null;
    let paired: PairedTimes | null = null;
    if (plan?.feasible) {
      const planned = rewrite(baseline, plan.decisions);
      after = await measure("execute plan", planned);
      progress("compare", 0, 1);
      if (!replays) ({ equality, paired } = await compare(reference, planned, runtime, values, options.signal));
    }
    const parameters = [...graph.tensors.values()].filter((tensor) => tensor.category === "parameter");
    if (recorder && options.record !== undefined) writeFileSync(options.record, encodeRecording(recorder.recording()));
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
      warnings: [
        ...warningsOf(before, after, equality),
        ...(options.checkFinite && before.losses.includes(null) ? [await culprit(reference, runtime, values)] : []),
      ],
    };
  } finally {
    runtime.close();
  }
}

/** The step with every saved activation swapped out. Throws `out of memory: …` where even that does not fit. */
function offload(graph: Graph, runtime: Runtime): Graph {
  const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
  const swapped = rewrite(graph, all);
  const { arenaBytes } = layout(swapped);
  const free = runtime.freeBytes?.() ?? Number.POSITIVE_INFINITY;
  if (arenaBytes <= free) return swapped;
  const { peakRank } = timeline(swapped);
  throw new Error(
    `out of memory: the step needs ${formatBytes(layout(graph).arenaBytes)}, and ${formatBytes(arenaBytes)} with every activation swapped out; ${runtime.device.name} has ${formatBytes(free)} free (the least is needed at ${swapped.nodes[peakRank]?.name})`,
  );
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
  if (before.backend === "replay")
    warnings.push(
      `replayed from a recording: nothing was executed, allocated or compared${after?.simulated ? ", and the planned step's time is simulated (the sum of its nodes')" : ""}`,
    );
  if (before.offloaded)
    warnings.push(
      `the unplanned step does not fit into the device: its nodes were measured with every activation swapped out (${formatBytes(before.offloaded.allocatedBytes)}), and its step time is their sum, not measured`,
    );
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

/** Pairs of steps that are timed in turn, after as many that are not as a runtime may need to get ready. */
const timedPairs = 5;
const warmPairs = 2;

/** Steps whose loss, gradients and next state are compared. */
const comparedSteps = 2;

/** ‖a − b‖ / ‖b‖ of float tensors; 0 or 1 for others, equal or not. */
function relativeDifference(dtype: DType, a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return 0;
  const [p, q] = [numbersOf(dtype, a), numbersOf(dtype, b)];
  if (!p || !q) return 1;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < q.length; i++) {
    const y = q[i] as number;
    difference += ((p[i] as number) - y) ** 2;
    norm += y ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, Number.MIN_VALUE));
}

const numbersOf = (dtype: DType, bytes: Uint8Array): ArrayLike<number> | undefined => {
  if (dtype === "float32") return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  if (dtype === "float64") return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  return dtype === "float16" || dtype === "bfloat16" ? (valuesOf(dtype, bytes) as number[]) : undefined;
};

/**
 * Runs both graphs from the same values: two steps whose loss, gradients and next state are compared, then further steps
 * in turn, timed, if both fit into memory at once. Where kernels are not deterministic, the unplanned step runs twice,
 * and a difference counts if it is more than ten times what that makes.
 */
async function compare(
  baseline: Graph,
  planned: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
  signal?: AbortSignal,
): Promise<{ equality: Equality; paired: PairedTimes | null }> {
  const gradients = [...baseline.tensors.values()]
    .filter((t) => t.category === "parameter" && t.within)
    .map((t) => gradientName(t.name));
  const observe = new Set([
    ...(baseline.loss ? [baseline.loss] : []),
    ...gradients,
    ...baseline.state.map((pair) => pair.after),
  ]);
  const options = signal ? { signal } : {};
  const observed = async (graph: Graph): Promise<ReadonlyMap<string, Uint8Array>[]> => {
    const { step } = loadWithValues(graph, runtime, values);
    try {
      const steps: ReadonlyMap<string, Uint8Array>[] = [];
      for (let i = 0; i < comparedSteps; i++) steps.push((await step.run({ observe, ...options })).observed);
      return steps;
    } finally {
      step.close();
    }
  };
  const expected = await observed(baseline);
  const differences = (actual: readonly ReadonlyMap<string, Uint8Array>[]): Map<string, number> => {
    const found = new Map<string, number>();
    for (const [i, step] of expected.entries())
      for (const name of observe) {
        const [p, q] = [step.get(name), actual[i]?.get(name)];
        if (!p) throw new Error(`not observed: ${name}`);
        const dtype = baseline.tensors.get(name)?.dtype ?? "float32";
        found.set(`${name} in step ${i + 1}`, q ? relativeDifference(dtype, q, p) : 1);
      }
    return found;
  };
  const greatest = (found: ReadonlyMap<string, number>): number => Math.max(0, ...found.values());
  const varies = runtime.device.settings?.deterministic === "no";
  const noise = varies ? differences(await observed(baseline)) : null;
  const found = differences(await observed(planned));
  const runToRun = noise && greatest(noise);
  const different = [...found].filter(([, error]) => !(error <= 10 * (runToRun ?? 0))).map(([name]) => name);
  const equality: Equality = {
    compared: comparedSteps * observe.size,
    different,
    bitwise: greatest(found) === 0,
    worstRelativeError: greatest(found),
    runToRun,
  };
  const both = layout(baseline).arenaBytes + layout(planned).arenaBytes;
  if (runtime.freeBytes && both > 0.95 * runtime.freeBytes()) return { equality, paired: null };
  const { step: one } = loadWithValues(baseline, runtime, values);
  try {
    const { step: two } = loadWithValues(planned, runtime, values);
    try {
      const times: [number[], number[]] = [[], []];
      for (let i = 0; i < warmPairs + timedPairs; i++) {
        const pair = [(await one.run(options)).stepMs, (await two.run(options)).stepMs] as const;
        if (i >= warmPairs) for (const which of [0, 1] as const) times[which].push(pair[which]);
      }
      return { equality, paired: { unplanned: samplesOf(times[0]), planned: samplesOf(times[1]) } };
    } finally {
      two.close();
    }
  } finally {
    one.close();
  }
}

/** A sentence that names the first node that makes a NaN or an infinity out of finite values. */
async function culprit(graph: Graph, runtime: Runtime, values: ReadonlyMap<string, Uint8Array>): Promise<string> {
  const node = await firstNonFinite(graph, runtime, values);
  return node === null
    ? "the loss becomes not finite only after several steps: no node makes a NaN or an infinity in the first"
    : `the first NaN or infinity is made by ${node.name} (${node.op}, ${node.phase})`;
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
  if (options.device !== undefined) words.push("--device", String(options.device));
  if (options.tf32 === false) words.push("--no-tf32");
  if (options.deterministic) words.push("--deterministic");
  if (options.checkFinite) words.push("--check-finite");
  if (options.record !== undefined) words.push("--record", options.record);
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
