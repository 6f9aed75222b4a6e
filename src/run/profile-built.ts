import { formatBytes } from "../format.js";
import { type Graph, tensorBytes, tensorOf } from "../graph/graph.js";
import { savedActivations } from "../memory/activations.js";
import { type Layout, layout, overlaid } from "../memory/layout.js";
import { timeline } from "../memory/liveness.js";
import { stateUses } from "../memory/state-uses.js";
import { type ExecutedGraph, executedGraph } from "../plan/executed.js";
import type { Plan } from "../plan/plan.js";
import { rewrite } from "../plan/rewrite.js";
import { pinnableBytes } from "../runtime/host-memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { type BuiltStep, executes, modelInfo } from "./build-step.js";
import { compare } from "./compare.js";
import { environment } from "./environment.js";
import { culprit, unfitWarnings, uselessPlan, warningsOf } from "./notes.js";
import { commandOf, withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import { type Profile, profileGraph, profileOffloaded } from "./profile.js";
import { asksForPlan, makePlan } from "./replan.js";
import {
  type Equality,
  newRunId,
  type PairedTimes,
  type ProcessPeak,
  type Run,
  runFormatVersion,
  saveGraph,
} from "./run.js";
import { steadyValues } from "./steady.js";

/** A step as it was measured before it was planned. */
export interface MeasuredStep {
  readonly before: Profile;
  /** The step that was measured, with which a planned one can be compared; null where its values are wrong. */
  readonly reference: Graph | null;
}

/** A measured step, and the plan that the options ask for; null if they ask for none. */
export interface PlannedStep extends MeasuredStep {
  readonly plan: Plan | null;
  /** The planned step, where it was measured already. */
  readonly after?: Profile;
}

/** How steps from some values are measured. */
function measuring(runtime: Runtime, values: ReadonlyMap<string, Uint8Array>, options: ProfileModelOptions): Measure {
  const { iterations, warmups, signal, onProgress: progress = () => {} } = withDefaults(options);
  return (stage, graph, places) =>
    profileGraph(graph, runtime, {
      values,
      iterations,
      warmups,
      signal,
      ...(places && { places }),
      onProgress: (done, total) => progress(stage, done, total),
    });
}

/** Measures a planned step, from the values of the unplanned one. */
export async function measurePlanned(
  { graph, rotation }: ExecutedGraph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
  options: ProfileModelOptions,
): Promise<Profile> {
  const own = rotation && executes(runtime) ? await steadyValues(rotation, runtime, values) : values;
  return measuring(runtime, own, options)("execute plan", graph);
}

/** Measures a built step as it is. */
export const measureBuilt = (
  { baseline, values }: Pick<BuiltStep, "baseline" | "values">,
  runtime: Runtime,
  options: ProfileModelOptions,
): Promise<MeasuredStep> => measureUnplanned(baseline, runtime, measuring(runtime, values, options));

/** The plan that options ask for; null if they ask for none. */
export function planMeasured(baseline: Graph, { before }: MeasuredStep, options: ProfileModelOptions): Plan | null {
  // a budget or a planner asks for a plan; the planner's default is only for the budget
  if (!asksForPlan(options)) return null;
  const settled = withDefaults(options);
  settled.onProgress?.("plan", 0, 1);
  return makePlan(baseline, before, withinHost(baseline, before, settled));
}

/** Measures a built step, and plans it if the options ask for that. */
export async function planBuilt(
  built: Pick<BuiltStep, "baseline" | "values">,
  runtime: Runtime,
  options: ProfileModelOptions,
): Promise<PlannedStep> {
  const measured = await measureBuilt(built, runtime, options);
  return { ...measured, plan: planMeasured(built.baseline, measured, options) };
}

/**
 * Profiles a built step, plans for the budget, executes the plan and compares: all that a run holds. `given` is what is
 * known of the step already.
 */
export async function profileBuilt(
  file: string,
  built: BuiltStep,
  runtime: Runtime,
  options: ProfileModelOptions,
  given?: PlannedStep,
): Promise<Run> {
  const { bound, step, baseline, values } = built;
  const settled = withDefaults(options);
  const { seed, signal, onProgress: progress = () => {} } = settled;
  const peak = peakOf(runtime);
  const { before, reference, plan } = given ?? (await planBuilt(built, runtime, options));
  peak.note("profile");
  let after: Profile | null = null;
  let equality: Equality | null = null;
  let paired: PairedTimes | null = null;
  if (plan?.feasible && runtime.backend !== "estimate") {
    const planned = executedGraph(baseline, plan);
    after = given?.after ?? (await measurePlanned(planned, runtime, values, options));
    peak.note("execute plan");
    progress("compare", 0, 1);
    if (executes(runtime) && reference)
      try {
        ({ equality, paired } = await compare(reference, planned.graph, {
          runtime,
          values,
          signal,
          rotation: planned.rotation,
        }));
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

type Measure = (stage: string, graph: Graph, places?: Layout) => Promise<Profile>;

/** Host memory that is pinned without a second thought, bytes: CUDA pins about 1.2 GiB a second. */
const littlePinnedBytes = 4 * 2 ** 30;

/**
 * Measures the step as it is or, where the device cannot hold it, with every saved activation swapped out; `reference` is
 * the step that was measured, with which a planned one can be compared. It is null where the host would have to pin
 * much: what is swapped out is then overlaid, so that times are right and values are not.
 */
async function measureUnplanned(baseline: Graph, runtime: Runtime, measure: Measure): Promise<MeasuredStep> {
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
export const isOutOfMemory = (error: unknown): boolean => /out of memory|ALLOC_FAILED/.test((error as Error).message);

/** Options for a plan that swaps no more than the host can pin, if it could want to. */
function withinHost<Settings extends { readonly hostMemory?: string; readonly swap?: boolean }>(
  graph: Graph,
  { memory }: Profile,
  settings: Settings,
): Settings {
  if (!memory || settings.hostMemory !== undefined || settings.swap === false) return settings;
  const most = pinnableBytes();
  const bytes = [
    ...[...savedActivations(graph).values()].map((activation) => activation.bytes),
    ...[...stateUses(graph).keys()].map((name) => tensorBytes(tensorOf(graph, name))),
  ];
  const all = bytes.reduce((sum, one) => sum + one, 0);
  return all <= most ? settings : { ...settings, hostMemory: `${most}B` };
}

/**
 * The step with every saved activation swapped out, and where that does not suffice with all states on the host between
 * their uses. Throws `out of memory: …` where even that does not fit.
 */
function offload(graph: Graph, runtime: Runtime): Graph {
  const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
  const states = [...stateUses(graph)].flatMap(([state, { isOutput }]) => (isOutput ? [] : [{ state }]));
  const free = runtime.freeBytes?.() ?? Number.POSITIVE_INFINITY;
  const fits = (step: Graph): boolean => layout(step).arenaBytes <= free;
  const activations = rewrite(graph, all);
  if (fits(activations)) return activations;
  const swapped = rewrite(graph, all, states);
  if (fits(swapped)) return swapped;
  const { arenaBytes } = layout(swapped);
  const { peakRank } = timeline(swapped);
  throw new Error(
    `out of memory: the step needs ${formatBytes(layout(graph).arenaBytes)}, and ${formatBytes(arenaBytes)} with every activation and state swapped out; ${runtime.device.name} has ${formatBytes(free)} free (the least is needed at ${swapped.nodes[peakRank]?.name})`,
  );
}
