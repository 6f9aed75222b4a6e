import path from "node:path";
import { timeline } from "../memory/liveness.js";
import { sha256Of } from "../model/read.js";
import { parseBudget } from "../plan/budget.js";
import { freeHostBytes } from "../runtime/host-memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { fused, fusedSizes, type JointStep, sideBySide } from "./arrange.js";
import { executes, modelInfo } from "./build-step.js";
import { type BuiltTrial, buildTrials, checkFits, checkJointMemory, jointValues } from "./build-trials.js";
import { modelOptions, withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import { type PlannedStep, planBuilt, profileBuilt } from "./profile-built.js";
import { makePlan } from "./replan.js";
import type { ModelInfo, Run } from "./run.js";
import { sameAsAlone } from "./same-as-alone.js";
import type { Arranged, Arrangement, FitCount, Together, TrialInfo } from "./together.js";
import { trialsOf } from "./trials.js";

/** Several models that are profiled in one step: what all parts of that need. */
interface Scene {
  readonly runtime: Runtime;
  readonly options: ProfileModelOptions;
  readonly trials: readonly BuiltTrial[];
  /** The memory that a step may take, bytes, and whether it is all that the device has. */
  readonly limitBytes: number;
  readonly isWhole: boolean;
}

/** A joint step that was measured, and planned if that was asked for. */
interface Candidate extends PlannedStep {
  readonly joint: JointStep;
  readonly values: Map<string, Uint8Array>;
}

/** A model's own step, measured. */
interface Alone {
  readonly stepMs: number;
  readonly peakBytes: number;
  readonly residentBytes: number;
  /** The least that a plan found so far reaches. */
  readonly leastBytes: number;
}

/**
 * Profiles several models in one step: each model's own step for comparison, the ways of putting them together, the
 * fastest of them planned within the budget and executed, and whether every model computes what it computes alone.
 */
export async function profileMany(file: string, runtime: Runtime, options: ProfileModelOptions): Promise<Run> {
  const { onProgress: progress = () => {} } = options;
  const scene = sceneOf(file, runtime, options);
  const { trials, limitBytes, isWhole } = scene;
  const alone = await eachAlone(scene);
  const fits = fitCount(alone, limitBytes);
  // a budget that is not met is an answer; what the device does not hold is none
  if (isWhole) checkFits(trials.length, fits);
  const candidates: Candidate[] = [];
  for (const joint of jointSteps(runtime, trials, limitBytes, options.arrange)) {
    const values = jointValues(runtime, joint.graph, trials);
    candidates.push({ joint, values, ...(await planBuilt({ baseline: joint.graph, values }, runtime, options)) });
  }
  const chosen = candidates.reduce((best, one) => (expectedMs(one) < expectedMs(best) ? one : best));
  const { joint, values } = chosen;
  const [first] = trials as [BuiltTrial];
  const built = { bound: first.bound, step: first.step, baseline: joint.graph, values };
  const run = await profileBuilt(file, built, runtime, options, chosen);
  const compared = (done: number, total: number): void => progress("compare with each alone", done, total);
  const together: Together = {
    trials: trials.map(infoOf),
    alone: {
      stepMs: sum(alone.map(({ stepMs }) => stepMs)),
      peakBytes: Math.max(...alone.map(({ peakBytes }) => peakBytes)),
      measured: new Set(trials.map(kindOf)).size,
    },
    arranged: candidates.map((one) => arrangedOf(one, one === chosen ? run : null, alone)),
    executed: joint.arrangement,
    fits,
    sameAsAlone: executes(runtime) ? await sameAsAlone(joint.graph, values, trials, runtime, compared) : null,
    notes: joint.notes,
  };
  return { ...run, model: jointInfo(file, trials, options), together };
}

function sceneOf(file: string, runtime: Runtime, options: ProfileModelOptions): Scene {
  const specs = trialsOf(file, withDefaults(options));
  const trials = buildTrials(specs, runtime, undefined, (done, total) =>
    options.onProgress?.("build steps", done, total),
  );
  if (runtime.backend === "cpu") checkJointMemory(trials, freeHostBytes(), true);
  const free = runtime.freeBytes?.() ?? Number.POSITIVE_INFINITY;
  const budget = options.budget === undefined ? undefined : parseBudget(options.budget);
  const limitBytes = Math.min(free, budget && "bytes" in budget ? budget.bytes : free);
  return { runtime, options, trials, limitBytes, isWhole: limitBytes === free };
}

/** The ways of putting the models into one step that are asked for. Throws where the one that is asked for is not there. */
function jointSteps(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  limitBytes: number,
  arrange: ProfileModelOptions["arrange"] = "best",
): JointStep[] {
  const made: Readonly<Record<Arrangement, () => (JointStep | null)[]>> = {
    "side-by-side": () => [sideBySide(runtime, trials, limitBytes)],
    fused: () => fusedSizes(runtime, trials).map((size) => fused(runtime, trials, limitBytes, size)),
    multiplexed: () => [],
  };
  const names = arrange === "best" ? (Object.keys(made) as Arrangement[]) : [arrange];
  const steps = names.flatMap((name) => made[name]()).filter((step) => step !== null);
  if (!steps.length)
    throw new Error(
      `nothing can be ${arrange}: no two of the ${trials.length} models are of one architecture (--arrange side-by-side)`,
    );
  return steps;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What decides which nodes a model's step has: trials of one kind take the same time. */
const kindOf = ({ spec: { file, options } }: BuiltTrial): string =>
  JSON.stringify([file, { ...options, optimizer: options.optimizer.split(":")[0] }]);

/** Every model's own step: of each kind one is measured. */
async function eachAlone({ runtime, options, trials, limitBytes }: Scene): Promise<Alone[]> {
  const { planner: _planner, budget: _budget, maxSlowdown: _slowdown, ...unplanned } = options;
  const known = new Map<string, Alone>();
  for (const trial of trials) {
    const kind = kindOf(trial);
    if (known.has(kind)) continue;
    const { baseline } = trial;
    const values = new Map(trial.values());
    const { before } = await planBuilt({ baseline, values }, runtime, unplanned);
    const settings = {
      ...withDefaults(options),
      maxSlowdown: undefined,
      planner: "best",
      budget: "1B",
      moves: 2000,
      timeLimit: 5,
    };
    known.set(kind, {
      stepMs: before.step.medianMs,
      peakBytes: before.arenaBytes,
      residentBytes: timeline(baseline).residentBytes,
      leastBytes: Number.isFinite(limitBytes)
        ? makePlan(baseline, before, settings).minimumPeakBytes
        : before.arenaBytes,
    });
  }
  return trials.map((trial) => known.get(kindOf(trial)) as Alone);
}

/**
 * How many models fit, the asked ones again and again in their order: all at once without a plan, and one after the other in
 * one step, each planned, with everything that lives through a step there for all. null without a limit.
 */
function fitCount(alone: readonly Alone[], limitBytes: number): FitCount | null {
  if (!Number.isFinite(limitBytes)) return null;
  const most = (needed: (models: readonly Alone[]) => number): number => {
    const models: Alone[] = [];
    for (;;) {
      models.push(alone[models.length % alone.length] as Alone);
      if (needed(models) > limitBytes || models.length > 100_000) return models.length - 1;
    }
  };
  let [peaks, residents, between] = [0, 0, 0];
  const unplanned = most((models) => (peaks += models.at(-1)?.peakBytes ?? 0));
  const planned = most((models) => {
    const { residentBytes, leastBytes } = models.at(-1) as Alone;
    residents += residentBytes;
    between = Math.max(between, leastBytes - residentBytes);
    return residents + between;
  });
  return { limitBytes, unplanned, planned };
}

/** The time that a candidate's step is expected to take, ms: Infinity where its plan does not fit. */
const expectedMs = ({ before, plan }: PlannedStep): number =>
  plan ? (plan.feasible ? before.step.medianMs + plan.addedMs : Number.POSITIVE_INFINITY) : before.step.medianMs;

/** What a run says of a candidate; `run` is the executed one's. */
function arrangedOf(candidate: Candidate, run: Run | null, alone: readonly Alone[]): Arranged {
  const { joint, before, plan } = candidate;
  const { arrangement, subArrays, lanes } = joint;
  const isMeasured = !before.estimated && !before.offloaded;
  const planned = run?.paired?.planned ?? run?.after?.step;
  const expected = expectedMs(candidate);
  const predictedMs = plan
    ? Number.isFinite(expected)
      ? expected
      : null
    : before.estimated
      ? before.step.medianMs
      : lanes === 1 && arrangement === "side-by-side"
        ? sum(alone.map(({ stepMs }) => stepMs))
        : null;
  return {
    arrangement,
    subArrays,
    lanes,
    peakBytes: before.arenaBytes,
    plannedPeakBytes: plan?.feasible ? plan.peakBytes : null,
    predictedMs,
    measuredMs: plan ? (planned?.medianMs ?? null) : isMeasured ? before.step.medianMs : null,
    ...(plan && !plan.feasible ? { why: "no plan fits the budget" } : {}),
  };
}

function infoOf({ spec }: BuiltTrial): TrialInfo {
  const { name, file, options, seed, varied } = spec;
  return { ...modelOptions(options), dims: options.dims, name, path: file, sha256: sha256Of(file), seed, varied };
}

/** What the run says of the models as one. */
function jointInfo(file: string, trials: readonly BuiltTrial[], options: ProfileModelOptions): ModelInfo {
  const settled = withDefaults(options);
  const infos = new Map(
    trials.map(({ spec, bound, step }) => [
      spec.file,
      modelInfo(spec.file, bound, step, { ...settled, ...spec.options, freeze: spec.options.freeze ?? [] }),
    ]),
  );
  const first = infos.get(file) as ModelInfo;
  const counts = [...infos.keys()].map((one) => {
    const count = trials.filter(({ spec }) => spec.file === one).length;
    return count > 1 ? `${count} × ${path.basename(one)}` : path.basename(one);
  });
  return {
    ...first,
    ...modelOptions(options),
    dims: settled.dims,
    file: counts.join(" + "),
    parameters: sum(trials.map(({ spec }) => infos.get(spec.file)?.parameters ?? 0)),
    parameterBytes: sum(trials.map(({ spec }) => infos.get(spec.file)?.parameterBytes ?? 0)),
    notes: [...new Set([...infos.values()].flatMap(({ notes }) => notes))],
  };
}
