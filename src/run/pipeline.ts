import path from "node:path";
import { formatBytes } from "../format.js";
import { elementCount, type Graph, producers, tensorBytes } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { savedActivations } from "../memory/activations.js";
import { type Layout, layout, overlaid } from "../memory/layout.js";
import { timeline } from "../memory/liveness.js";
import { type BoundModel, readModel, sha256Of } from "../model/read.js";
import { rewrite } from "../plan/rewrite.js";
import { checkHostMemory, pinnableBytes } from "../runtime/host-memory.js";
import { openRuntime } from "../runtime/open.js";
import { encodeRecording, recordingRuntime } from "../runtime/recording.js";
import type { Runtime } from "../runtime/runtime.js";
import { initialValues } from "../step/initial.js";
import { type Step, stepFor } from "../step/step.js";
import { lossOutput, type StepOptions } from "../step/training.js";
import { writeWhole } from "../writing.js";
import { compare } from "./compare.js";
import { environment } from "./environment.js";
import { checkFileWritable } from "./folder.js";
import { culprit, heldNotes, unfitWarnings, untrainedParameters, uselessPlan, warningsOf } from "./notes.js";
import { checkOptions } from "./option-checks.js";
import { commandOf, modelOptions, withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import { type Profile, profileGraph, profileOffloaded } from "./profile.js";
import { withSetting } from "./recorded-setting.js";
import { asksForPlan, keptNames, makePlan } from "./replan.js";
import {
  type Equality,
  type ModelInfo,
  newRunId,
  type PairedTimes,
  type ProcessPeak,
  type Run,
  runFormatVersion,
  saveGraph,
} from "./run.js";

/**
 * The whole path: reads the model, builds its training step, profiles it, plans for the budget, executes the plan and
 * compares. Writes nothing. Throws one line for wrong use or bad input; an infeasible budget is an answer, not an error.
 */
export async function profileModel(file: string, options: ProfileModelOptions): Promise<Run> {
  checkOptions("profile", options);
  if (options.record !== undefined) checkFileWritable("recording", options.record, [file]);
  try {
    return await profileChecked(file, options);
  } catch (error) {
    throw withSetting(inOneLine(error), file, options.backend);
  }
}

async function profileChecked(file: string, options: ProfileModelOptions): Promise<Run> {
  const settled = withDefaults(options);
  const opened = openRuntime(settled.backend, options);
  const recorder =
    options.record === undefined
      ? undefined
      : recordingRuntime(opened, { model: file, options: modelOptions(settled) });
  const runtime = recorder?.runtime ?? opened;
  try {
    const run = await profileBuilt(file, buildStep(file, runtime, options), runtime, options);
    if (recorder && options.record !== undefined) writeWhole(options.record, encodeRecording(recorder.recording()));
    return run;
  } finally {
    runtime.close();
  }
}

/** A model's training step, built for a runtime. */
export interface BuiltStep extends Step {
  readonly bound: BoundModel;
  /** First values of what no node makes, by name; empty where nothing is executed. */
  readonly values: Map<string, Uint8Array>;
}

const executes = ({ backend }: Runtime): boolean => backend !== "estimate" && backend !== "replay";

/**
 * Reads a model and builds its training step for a runtime, with learning rates as constants or as tensors. Throws one
 * line for bad input, for patterns of kept activations without a match, and on a CPU that lacks memory.
 */
export function buildStep(
  file: string,
  runtime: Runtime,
  options: ProfileModelOptions,
  rates?: StepOptions["rates"],
): BuiltStep {
  const { seed, dims, batchNorm, onProgress: progress = () => {} } = withDefaults(options);
  progress("read model", 0, 1);
  const bound = readModel(file, { dims, runtime, batchNorm, output: lossOutput(options.loss) });
  progress("build step", 0, 1);
  const { step, baseline } = stepFor(runtime, bound.graph, { ...options, rates }, seed);
  keptNames(baseline, options); // a pattern without a match is refused before anything is measured
  // before values are made for it
  if (runtime.backend === "cpu") checkHostMemory(layout(baseline).arenaBytes + givenBytes(baseline));
  const values = executes(runtime) ? initialValues(baseline, step, seed) : new Map<string, Uint8Array>();
  return { bound, step, baseline, values };
}

/** Profiles a built step, plans for the budget, executes the plan and compares: all that a run holds. */
export async function profileBuilt(
  file: string,
  { bound, step, baseline, values }: BuiltStep,
  runtime: Runtime,
  options: ProfileModelOptions,
): Promise<Run> {
  const settled = withDefaults(options);
  const { seed, iterations, warmups, signal, onProgress: progress = () => {} } = settled;
  const measure: Measure = (stage, graph, places) =>
    profileGraph(graph, runtime, {
      values,
      iterations,
      warmups,
      signal,
      ...(places && { places }),
      onProgress: (done, total) => progress(stage, done, total),
    });
  const peak = peakOf(runtime);
  const { before, reference } = await measureUnplanned(baseline, runtime, measure);
  peak.note("profile");
  // a budget or a planner asks for a plan; the planner's default is only for the budget
  const isPlanned = asksForPlan(options);
  if (isPlanned) progress("plan", 0, 1);
  const plan = isPlanned ? makePlan(baseline, before, withinHost(baseline, before, settled)) : null;
  let after: Profile | null = null;
  let equality: Equality | null = null;
  let paired: PairedTimes | null = null;
  if (plan?.feasible && runtime.backend !== "estimate") {
    const planned = rewrite(baseline, plan.decisions);
    after = await measure("execute plan", planned);
    peak.note("execute plan");
    progress("compare", 0, 1);
    if (executes(runtime) && reference)
      try {
        ({ equality, paired } = await compare(reference, planned, { runtime, values, signal }));
      } catch (error) {
        // both were measured: what the session of deterministic kernels takes beside them does not fit
        if (!runtime.freeBytes || !isOutOfMemory(error)) throw error;
      }
    peak.note("compare");
  }
  return {
    format: "mutwo-run",
    version: runFormatVersion,
    id: newRunId(file),
    createdAt: new Date().toISOString(),
    command: options.command ?? commandOf("profile", file, options),
    model: modelInfo(file, bound, step, settled),
    environment: environment(runtime),
    seed,
    graph: saveGraph(baseline),
    before,
    plan,
    after,
    equality,
    paired,
    ...(peak.most && { processPeak: peak.most }),
    warnings: [
      ...warningsOf(before, after, equality),
      ...unfitWarnings(before, plan),
      ...uselessPlan(before, plan),
      ...(options.checkFinite && reference && before.losses.includes(null)
        ? [await culprit(reference, runtime, values)]
        : []),
    ],
  };
}

/** When the process held most on the device: noted after each stage, to which a peak belongs that was not there before. */
function peakOf(runtime: Runtime): { most: ProcessPeak | undefined; note(stage: ProcessPeak["stage"]): void } {
  return {
    most: undefined,
    note(stage) {
      const bytes = runtime.peakProcessBytes?.() ?? 0;
      if (bytes > (this.most?.bytes ?? 0)) this.most = { bytes, stage };
    },
  };
}

/** What the run says of its model: the file, the options that shaped the step, and what a user should know of both. */
function modelInfo(
  file: string,
  { graph, model, untrained, notes }: BoundModel,
  step: Graph,
  options: ProfileModelOptions & { readonly dims: ModelInfo["dims"] },
): ModelInfo {
  const parameters = [...graph.tensors.values()].filter((tensor) => tensor.category === "parameter");
  const leftAlone = untrainedParameters(parameters, step, options.freeze ?? []);
  return {
    file: path.basename(file),
    path: file,
    sha256: sha256Of(file),
    opset: model.opset,
    producer: model.producer,
    dims: options.dims,
    ...modelOptions(options),
    parameters: parameters.reduce((sum, t) => sum + elementCount(t.shape), 0),
    parameterBytes: parameters.reduce((sum, t) => sum + tensorBytes(t), 0),
    untrained: [...untrained, ...leftAlone.untrained],
    notes: [...notes, ...heldNotes(untrained), ...leftAlone.notes],
  };
}

/** Bytes of what no node makes: first values of it lie beside the arena. */
function givenBytes(graph: Graph): number {
  const made = producers(graph);
  let bytes = 0;
  for (const tensor of graph.tensors.values()) if (!made.has(tensor.name)) bytes += tensorBytes(tensor);
  return bytes;
}

type Measure = (stage: string, graph: Graph, places?: Layout) => Promise<Profile>;

/** Host memory that is pinned without a second thought, bytes: CUDA pins about 1.2 GiB a second. */
const littlePinnedBytes = 4 * 2 ** 30;

/**
 * Measures the step as it is or, where the device cannot hold it, with every saved activation swapped out; `reference` is
 * the step that was measured, with which a planned one can be compared. It is null where the host would have to pin
 * much: what is swapped out is then overlaid, so that times are right and values are not.
 */
async function measureUnplanned(
  baseline: Graph,
  runtime: Runtime,
  measure: Measure,
): Promise<{ before: Profile; reference: Graph | null }> {
  const fits = !runtime.freeBytes || layout(baseline).arenaBytes <= runtime.freeBytes();
  if (fits)
    try {
      return { before: await measure("profile", baseline), reference: baseline };
    } catch (error) {
      // values fit, and what kernels take beside them does not
      if (!runtime.freeBytes || !isOutOfMemory(error)) throw error;
    }
  const swapped = offload(baseline, runtime);
  const places = layout(swapped);
  const isOverlaid = places.hostBytes > Math.min(littlePinnedBytes, pinnableBytes());
  const measured = await measure("profile", swapped, isOverlaid ? overlaid(swapped, places) : places);
  return {
    before: profileOffloaded(baseline, swapped, measured, isOverlaid),
    reference: isOverlaid ? null : swapped,
  };
}

/** Whether an error says that memory did not suffice, of the device or of a library on it. */
const isOutOfMemory = (error: unknown): boolean => /out of memory|ALLOC_FAILED/.test((error as Error).message);

/** Options for a plan that swaps no more than the host can pin, if it could want to. */
function withinHost<Settings extends { readonly hostMemory?: string; readonly swap?: boolean }>(
  graph: Graph,
  { memory }: Profile,
  settings: Settings,
): Settings {
  if (!memory || settings.hostMemory !== undefined || settings.swap === false) return settings;
  const most = pinnableBytes();
  const all = [...savedActivations(graph).values()].reduce((sum, { bytes }) => sum + bytes, 0);
  return all <= most ? settings : { ...settings, hostMemory: `${most}B` };
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
