import path from "node:path";
import { formatBytes } from "../format.js";
import { layout } from "../memory/layout.js";
import { sha256Of } from "../model/read.js";
import { budgetBytesOf, parseBudget } from "../plan/budget.js";
import { executedGraph } from "../plan/executed.js";
import type { Plan } from "../plan/plan.js";
import { freeHostBytes } from "../runtime/host-memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { eachAlone, fitCount, kindOf, warmMs } from "./alone.js";
import { fused, fusedSizes, gradientsBeside, isInTurn, type JointStep, sideBySide } from "./arrange.js";
import { executes, modelInfo } from "./build-step.js";
import { type BuiltTrial, buildTrials, checkFits, checkJointMemory } from "./build-trials.js";
import { arrangedOf, type Prediction, predict } from "./candidate.js";
import { type Asked, candidatesOf, executedOf, fastest } from "./candidates.js";
import { commandOf, modelOptions, withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import { profileBuilt } from "./profile-built.js";
import type { ModelInfo, Run } from "./run.js";
import { sameAsAlone } from "./same-as-alone.js";
import type { Arranged, Arrangement, FitCount, Together, TrialInfo } from "./together.js";
import { severalTrialsOf } from "./trials.js";

/**
 * Profiles several models in one step: each model's own step for comparison, the ways of putting them together, the
 * fastest of them planned within the budget and executed, and whether every model computes what it computes alone.
 */
export async function profileMany(file: string, runtime: Runtime, options: ProfileModelOptions): Promise<Run> {
  const { onProgress: progress = () => {} } = options;
  const scene = sceneOf(file, runtime, options);
  const { trials } = scene;
  const alone = await eachAlone(scene);
  const fits = fitCount(scene, alone);
  // a budget that is not met is an answer; what the device does not hold is none
  if (scene.limitBytes !== scene.budgetBytes) checkFits(trials.length, fits);
  const { candidates: all, partitions } = await candidatesOf(scene, alone);
  const predictions: (Prediction | null)[] = [];
  for (const one of all) predictions.push(await predict(one, scene, alone));
  const candidates = await executedOf(all, scene);
  const chosen = fastest(candidates);
  const { joint, values, plan } = chosen;
  const [first] = trials as [BuiltTrial];
  const built = { bound: first.bound, step: first.step, baseline: joint.graph, values };
  const run = await profileBuilt(file, built, runtime, scene.options, chosen);
  const executed = plan?.ring && plan.feasible ? executedGraph(joint.graph, plan) : joint;
  const compared = (done: number, total: number): void => progress("compare with each alone", done, total);
  const together: Together = {
    trials: trials.map(infoOf),
    alone: {
      stepMs: sum(await warmMs(scene, alone)),
      peakBytes: Math.max(...alone.map(({ profile }) => profile.arenaBytes)),
      ...(alone.some(({ profile }) => profile.estimated) && { estimated: true as const }),
      measured: new Set(trials.map(kindOf)).size,
    },
    arranged: candidates.map((one, i): Arranged => {
      const row = arrangedOf(one, predictions[i] ?? null, one === chosen ? run : null);
      return one.plan && !one.plan.feasible
        ? { ...row, why: whyNot(one.plan, isInTurn(one.joint) ? fits : null) }
        : row;
    }),
    executed: joint.arrangement,
    ...(partitions && { partitions }),
    fits,
    sameAsAlone: executes(runtime) ? await sameAsAlone(joint.graph, executed, values, trials, runtime, compared) : null,
    notes: joint.notes,
  };
  const command = options.command ?? commandOf("profile", file, options);
  return { ...run, command, model: jointInfo(file, trials, options), together };
}

function sceneOf(file: string, runtime: Runtime, options: ProfileModelOptions): Asked {
  const specs = severalTrialsOf(file, withDefaults(options));
  const trials = buildTrials(specs, runtime, undefined, (done, total) =>
    options.onProgress?.("build steps", done, total),
  );
  if (runtime.backend === "cpu") checkJointMemory(trials, freeHostBytes(), true);
  const freeBytes = runtime.freeBytes?.() ?? Number.POSITIVE_INFINITY;
  const { budget } = options;
  const given = budget === undefined ? undefined : parseBudget(budget);
  const limitBytes = given && "bytes" in given ? Math.min(freeBytes, given.bytes) : freeBytes;
  const joints = jointSteps(runtime, trials, limitBytes, options.arrange);
  const scene = { runtime, options, trials, joints };
  if (budget === undefined) return { ...scene, limitBytes: freeBytes, budgetBytes: null };
  // a share is one of the fused step, where there is one, whichever step is planned
  const base =
    joints.find(({ arrangement }) => arrangement === "fused") ??
    joints[0] ??
    fused(runtime, trials, limitBytes) ??
    sideBySide(runtime, trials, limitBytes);
  const budgetBytes = budgetBytesOf(budget, layout(base.graph).arenaBytes);
  return {
    ...scene,
    options: { ...options, budget: `${budgetBytes}B` },
    limitBytes: Math.min(freeBytes, budgetBytes),
    budgetBytes,
  };
}

/** The ways of putting the models into one step that are asked for. Throws where the one that is asked for is not there. */
function jointSteps(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  limitBytes: number,
  arrange: ProfileModelOptions["arrange"] = "best",
): JointStep[] {
  const made: Readonly<Record<Arrangement, () => (JointStep | null)[]>> = {
    "side-by-side": () => [sideBySide(runtime, trials, limitBytes), gradientsBeside(runtime, trials, limitBytes)],
    fused: () => [
      ...fusedSizes(runtime, trials).map((most) => fused(runtime, trials, limitBytes, { most })),
      ...(runtime.fuses ? [fused(runtime, trials, limitBytes, { beside: true })] : []),
    ],
    multiplexed: () => [], // made of what others were measured to take
  };
  const names = arrange === "best" ? (Object.keys(made) as Arrangement[]) : [arrange];
  const steps = names.flatMap((name) => made[name]()).filter((step) => step !== null);
  if (!steps.length && arrange !== "multiplexed")
    throw new Error(
      `nothing can be ${arrange}: no two of the ${trials.length} models are of one architecture (--arrange side-by-side)`,
    );
  return steps;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Why a plan does not fit; with how many models would, where that is known. */
function whyNot({ minimumPeakBytes }: Plan, fits: FitCount | null): string {
  const most = fits ? `; at most ${fits.planned} such model${fits.planned === 1 ? "" : "s"} fit` : "";
  return `no plan fits the budget, the least that was found is ${formatBytes(minimumPeakBytes)}${most}`;
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
