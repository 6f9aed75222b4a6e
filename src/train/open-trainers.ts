import type { Graph } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { layout } from "../memory/layout.js";
import { budgetBytesOf } from "../plan/budget.js";
import { fused, inTurn, sideBySide } from "../run/arrange.js";
import { type BuiltTrial, buildTrials, checkJointMemory, jointValues } from "../run/build-trials.js";
import { checkOptions } from "../run/option-checks.js";
import { withDefaults } from "../run/option-forms.js";
import type { OptionsOf } from "../run/options.js";
import { type PlannedStep, planBuilt } from "../run/profile-built.js";
import { asksForPlan } from "../run/replan.js";
import type { Arrangement } from "../run/together.js";
import { severalTrialsOf, type TrialSpec } from "../run/trials.js";
import { freeHostBytes } from "../runtime/host-memory.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { JointTraining } from "./joint-training.js";
import { partsOf } from "./open-trainer.js";
import { checkFeasible } from "./run-plan.js";
import { StepTrainer } from "./step-trainer.js";
import type { Trainer, TrainerOptions } from "./trainer.js";

/** What `openTrainers` takes: what `openTrainer` does, and how many models there are and in what they differ. */
export interface TrainersOptions
  extends Omit<TrainerOptions, "run">,
    Pick<OptionsOf<"profile">, "together" | "copies" | "vary" | "arrange"> {}

/** One of several models that are trained in one step. */
export interface NamedTrainer {
  /** `m0`, `m1`, … */
  readonly name: string;
  /** In what it differs from the others, in words by name. */
  readonly varied: Readonly<Record<string, string>>;
  /** Of its initial values and random numbers. */
  readonly seed: number;
  readonly trainer: Trainer;
}

/**
 * Opens several models for training in one step: a trainer for each, as `openTrainer` gives for a model alone, with its own
 * data, loss, optimizer and state. Their steps meet: one that was begun ends when the others' have been begun too. One that is
 * closed drops out, and the others go on without it at their next step, with the same numbers.
 *
 * Models of one architecture are fused where `arrange` does not say otherwise; side by side each computes what it computes
 * alone, on the CPU bit for bit. With a budget the joint step is measured and planned. Throws one line for wrong options and
 * bad input, and `infeasible budget: …`.
 */
export async function openTrainers(file: string, options: TrainersOptions): Promise<NamedTrainer[]> {
  const { together, copies, vary, arrange, ...single } = options;
  checkOptions("trainer", single);
  const several = Object.entries({ together, copies, vary, arrange }).filter(([, value]) => value !== undefined);
  checkOptions("profile", { loss: options.loss, optimizer: options.optimizer, ...Object.fromEntries(several) });
  const opened = await openJoint(severalTrialsOf(file, withDefaults(options)), options);
  return opened.map(({ spec: { name, varied, seed }, trainer }) => ({ name, varied, seed, trainer }));
}

/** A trainer of one of several models, and what it was opened for. */
export interface JointTrainer {
  readonly spec: TrialSpec;
  readonly trainer: Trainer;
  /** The joint step as it was measured and planned; null where nothing was. */
  readonly planned: PlannedStep | null;
}

/** Opens what `trialsOf` makes of options; throws what `openTrainers` throws, of options that are right. */
export async function openJoint(specs: readonly TrialSpec[], options: TrainersOptions): Promise<JointTrainer[]> {
  const settled = withDefaults(options);
  const runtime = openRuntime(settled.backend, options);
  try {
    const { backend } = runtime;
    if (backend !== "cpu" && backend !== "cuda")
      throw new Error(`nothing can be trained on backend ${backend}: use cpu or cuda`);
    const trials = buildTrials(specs, runtime, "tensors", (done, total) =>
      options.onProgress?.("build steps", done, total),
    );
    const free = runtime.freeBytes?.() ?? freeHostBytes();
    // what a plan swaps out takes none of the device's
    if (backend === "cpu" || !asksForPlan(options)) checkJointMemory(trials, free, backend === "cpu");
    const { arrange, planned } = await arrangedFor(runtime, trials, free, options);
    const plan = planned?.plan;
    if (plan) checkFeasible(plan);
    const joint = new JointTraining({
      runtime,
      trials,
      arrange,
      decisions: plan?.decisions ?? [],
      states: plan?.states ?? [],
    });
    let open = trials.length;
    // the device is given back when the last of them is closed
    const shared: Runtime = Object.create(runtime, { close: { value: () => --open || runtime.close() } });
    return trials.map(({ spec, bound, baseline, values: own }): JointTrainer => {
      const given = { ...options, ...spec.options, seed: spec.seed };
      const { values: _, ...parts } = partsOf(spec.file, shared, { bound, values: own() }, baseline, given);
      const step = joint.stepOf(spec.name);
      const trainer = new StepTrainer({ ...parts, backend, runtime: shared, run: null, step });
      return { spec, trainer, planned };
    });
  } catch (error) {
    runtime.close();
    throw inOneLine(error);
  }
}

/** What puts models into one step: of the ways that are asked for the first whose plan fits, else the last. */
async function arrangedFor(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  free: number,
  options: TrainersOptions,
): Promise<{ readonly arrange: (some: readonly BuiltTrial[]) => Graph; readonly planned: PlannedStep | null }> {
  const first = arranging(runtime, trials, free, options.arrange);
  if (!asksForPlan(options)) return { arrange: first, planned: null };
  const isOpen = options.arrange === undefined || options.arrange === "best";
  const others = !isOpen ? [] : runtime.backend === "cpu" ? [inTurn] : [sideBySide, inTurn];
  const ways = [first, ...others.map((way) => (some: readonly BuiltTrial[]) => way(runtime, some, free).graph)];
  let given = options;
  let arrange = first;
  let planned: PlannedStep | null = null;
  for (const way of ways) {
    const graph = way(trials);
    // a share is one of the first step's peak, whichever is planned
    const { budget } = given;
    if (budget !== undefined) given = { ...given, budget: `${budgetBytesOf(budget, layout(graph).arenaBytes)}B` };
    planned = await planBuilt({ baseline: graph, values: jointValues(runtime, graph, trials) }, runtime, given);
    arrange = way;
    if (planned.plan?.feasible) break;
  }
  return { arrange, planned };
}

/** What puts some of all models into one step as it is asked for; without a wish fused where something can be. */
function arranging(
  runtime: Runtime,
  all: readonly BuiltTrial[],
  limit: number,
  wish: OptionsOf<"profile">["arrange"] = "best",
) {
  let arrays: readonly (readonly string[])[] | undefined;
  const fuse = (trials: readonly BuiltTrial[]): Graph => {
    const left = new Set(trials.map(({ spec }) => spec.name));
    // sums over a model axis of one are made in another order: one that is left alone keeps another beside it
    for (const array of arrays ?? [])
      if (array.length > 1 && array.filter((name) => left.has(name)).length === 1)
        left.add(array.find((name) => !left.has(name)) as string);
    const beside = all.filter(({ spec }) => left.has(spec.name));
    const step = fused(runtime, beside, limit) ?? sideBySide(runtime, beside, limit);
    arrays ??= step.subArrays;
    return step.graph;
  };
  const arranged: Readonly<Record<Arrangement | "best", (trials: readonly BuiltTrial[]) => Graph>> = {
    "side-by-side": (trials) => sideBySide(runtime, trials, limit).graph,
    fused: fuse,
    best(trials) {
      const graph = fuse(trials);
      return layout(graph).arenaBytes <= limit ? graph : sideBySide(runtime, trials, limit).graph;
    },
    multiplexed() {
      throw new Error(
        "nothing is trained multiplexed: the next batch would have to be there a step before (arrange: fused)",
      );
    },
  };
  return arranged[wish];
}
