import type { Graph } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import { checkModel } from "../model/read.js";
import { openRuntime } from "../runtime/open.js";
import type { Finding } from "./finding.js";
import { findingsOf } from "./findings.js";
import { scaledProfile } from "./fit.js";
import { modelOptions, withDefaults } from "./option-forms.js";
import type { ModelOptions, OptionsOf, ProfileModelOptions } from "./options.js";
import { ownOptions } from "./own-options.js";
import { profileModel } from "./pipeline.js";
import { withSteps } from "./rebuild.js";
import { asksForPlan, makePlan } from "./replan.js";
import { loadGraph, type Run } from "./run.js";

/** Where a number comes from: a step that ran, a plan or a layout of the step that was made anew, or estimated times. */
export type Basis = "measured" | "planned" | "built" | "estimated" | "predicted";

/** What a step needs and takes. */
export interface Outcome {
  /** Arena, bytes; of an infeasible plan the least reachable one. */
  readonly peakBytes: number;
  readonly peakBasis: Basis;
  /** null where it cannot be told. */
  readonly stepMs: number | null;
  readonly stepBasis: Basis;
  /** Whether the plan's budget is met; null without one. */
  readonly fits: boolean | null;
}

/** A finding's advice, tried: what was promised beside what came of it. */
export interface Trial {
  readonly finding: Finding;
  /** What came of it; null where it could not be tried. */
  readonly outcome: Outcome | null;
  /** How much less of the peak, bytes, and of the step's time, ms, than with the run's own options; negative for more. */
  readonly gainBytes: number | null;
  readonly gainMs: number | null;
  /** Why it could not be tried; null where it was. */
  readonly problem: string | null;
}

/** What trying a run's best findings came to. */
export interface Advice {
  /** The run's own step, measured anew where the others are measured. */
  readonly own: Outcome;
  readonly trials: readonly Trial[];
  /** Things that a user should know. */
  readonly notes: readonly string[];
}

/** How findings are tried. */
export interface AdviseOptions {
  /** So many at most; default 3. */
  readonly count?: number;
  readonly signal?: AbortSignal;
  /** Called when a trial begins. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** How a run's findings can be tried here, and why not better. */
interface Means {
  readonly by: "profile" | "build" | "plan";
  readonly note?: string;
}

/** The model file, and the device of a run that was measured, decide how much can be tried. */
function meansOf(run: Run): Means {
  const { before, model } = run;
  if (before.backend === "tables") return { by: "plan", note: "the run is one of tables: only plans are made again" };
  try {
    checkModel(model.path, model.sha256);
  } catch (error) {
    return { by: "plan", note: `${(error as Error).message}: only plans are made again` };
  }
  if (before.backend === "cpu") return { by: "profile" };
  if (before.backend === "estimate")
    return ownOptions(run).deviceSpec === undefined ? { by: "build" } : { by: "profile" };
  if (before.backend === "replay")
    return {
      by: "build",
      note: "the run is replayed from a recording: steps are built and planned anew, times estimated",
    };
  try {
    openRuntime("cuda").close();
    return { by: "profile" };
  } catch (error) {
    return {
      by: "build",
      note: `${(error as Error).message.split("\n")[0]}: steps are built and planned anew, times estimated`,
    };
  }
}

/** The findings that are tried: those that promise something, the best first, each change of options once. */
export function worthTrying(run: Run, count = 3): Finding[] {
  const seen = new Set<string>();
  return findingsOf(run)
    .filter(({ options, flags, severity, gainBytes, gainMs }) => {
      const isNew = flags !== undefined && !seen.has(flags);
      const promises = severity !== "note" || gainBytes !== undefined || gainMs !== undefined;
      if (flags !== undefined && promises) seen.add(flags);
      return options !== undefined && isNew && promises;
    })
    .slice(0, count);
}

/**
 * Tries the best findings of a run: by profiling with the changed options where the model file and the run's device are
 * here (the run's own options too, so that both times are of the same hour), else by building the step anew and planning
 * it, its times estimated from the run's, else by planning alone. What fails says why in a line, and the others go on.
 */
export async function adviseRun(run: Run, { count = 3, signal, onProgress }: AdviseOptions = {}): Promise<Advice> {
  const means = meansOf(run);
  const found = worthTrying(run, count);
  const measures = means.by === "profile" && !run.before.estimated;
  const total = found.length + (measures ? 1 : 0);
  let done = 0;
  const begin = (stage: string): void => onProgress?.(stage, done++, total);
  if (measures && found.length) begin("own options");
  const own = measures && found.length ? outcomeOf(await profiled(run, ownOptions(run), signal)) : outcomeOf(run);
  const trials: Trial[] = [];
  for (const finding of found) {
    begin(finding.flags ?? finding.rule);
    try {
      trials.push(judged(finding, own, await tried(run, finding.options as OptionsOf<"profile">, means, signal)));
    } catch (error) {
      if (signal?.aborted) throw error;
      const problem = (error as Error).message.split("\n")[0] as string;
      trials.push({ finding, outcome: null, gainBytes: null, gainMs: null, problem });
    }
  }
  return { own, trials, notes: means.note ? [means.note] : [] };
}

const judged = (finding: Finding, own: Outcome, outcome: Outcome): Trial => ({
  finding,
  outcome,
  gainBytes: own.peakBytes - outcome.peakBytes,
  gainMs: own.stepMs === null || outcome.stepMs === null ? null : own.stepMs - outcome.stepMs,
  problem: null,
});

/** A run with other options, measured as the run was. */
function profiled(run: Run, options: ProfileModelOptions, signal: AbortSignal | undefined): Promise<Run> {
  const { backend, device, iterations, warmups } = run.before;
  const counts = run.before.estimated ? {} : { iterations: Math.max(1, iterations), warmups };
  const threads = backend === "cpu" ? { threads: device.threads } : {};
  return profileModel(run.model.path, { ...options, ...counts, ...threads, seed: run.seed, signal });
}

async function tried(
  run: Run,
  options: OptionsOf<"profile">,
  { by }: Means,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  if (by === "profile") return outcomeOf(await profiled(run, options, signal));
  const [own, model] = [modelOptions(ownOptions(run)), modelOptions(options)];
  const isSameStep = JSON.stringify(sorted(own)) === JSON.stringify(sorted(model));
  if (isSameStep) return plannedOutcome(run, loadGraph(run.graph), options, run.before, "planned");
  if (by === "plan") throw new Error("not tried: the model file is needed for another step");
  return withSteps(run, (stepWith) => {
    // what the run's own options have and these have not is unset
    const unset = Object.fromEntries(Object.keys(own).map((name) => [name, undefined]));
    const graph = stepWith({ ...unset, ...model } as Partial<ModelOptions>);
    return plannedOutcome(run, graph, options, scaledProfile(run.before, graph), "built");
  });
}

const sorted = (options: object): [string, unknown][] => Object.entries(options).sort(([a], [z]) => (a < z ? -1 : 1));

/** What a step comes to that is not executed: planned if the options ask for it. */
function plannedOutcome(
  run: Run,
  graph: Graph,
  options: OptionsOf<"profile">,
  profile: ReturnType<typeof scaledProfile> | Run["before"],
  basis: "planned" | "built",
): Outcome {
  const stepMs = knowsTimes(run, graph) ? profile.step.medianMs : null;
  const stepBasis = basis === "built" || run.before.estimated ? "estimated" : "predicted";
  if (!asksForPlan(options))
    return { peakBytes: layout(graph).arenaBytes, peakBasis: "built", stepMs, stepBasis, fits: null };
  const plan = makePlan(graph, profile, withDefaults(options));
  return {
    peakBytes: plan.feasible ? plan.peakBytes : plan.minimumPeakBytes,
    peakBasis: "planned",
    stepMs: stepMs === null || !plan.feasible ? null : stepMs + plan.addedMs,
    stepBasis,
    fits: plan.budgetBytes === null ? null : plan.feasible,
  };
}

/** Share of a step's nodes that a run must know for its times to say something of the step's. */
const leastKnown = 0.95;

function knowsTimes({ before }: Run, { nodes }: Graph): boolean {
  const names = new Set(before.nodes.map(({ name }) => name));
  return nodes.filter(({ name }) => names.has(name)).length >= leastKnown * nodes.length;
}

/** What a run's own step comes to: the planned one if there is one. */
function outcomeOf({ before, plan, after, paired }: Run): Outcome {
  const isMeasured = before.backend === "cpu" || before.backend === "cuda";
  const unmeasured = before.estimated ? "estimated" : "predicted";
  if (!plan)
    return {
      peakBytes: isMeasured && before.allocatedBytes > 0 ? before.allocatedBytes : before.arenaBytes,
      peakBasis: isMeasured && before.allocatedBytes > 0 ? "measured" : "built",
      stepMs: before.step.medianMs,
      stepBasis: before.estimated ? "estimated" : before.simulated || before.offloaded ? "predicted" : "measured",
      fits: null,
    };
  const measured = paired?.planned ?? (after?.simulated ? undefined : after?.step);
  const isAllocated = isMeasured && after !== null && after.allocatedBytes > 0;
  return {
    peakBytes: isAllocated ? after.allocatedBytes : plan.feasible ? plan.peakBytes : plan.minimumPeakBytes,
    peakBasis: isAllocated ? "measured" : "planned",
    stepMs: plan.feasible ? (measured?.medianMs ?? before.step.medianMs + plan.addedMs) : null,
    stepBasis: measured && !before.estimated ? "measured" : unmeasured,
    fits: plan.budgetBytes === null ? null : plan.feasible,
  };
}
