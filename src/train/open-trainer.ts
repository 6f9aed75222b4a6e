import { statSync } from "node:fs";
import { type Graph, type Tensor, tensorOf } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { sha256Of } from "../model/read.js";
import { weightPlaces } from "../model/save.js";
import { rewrite } from "../plan/rewrite.js";
import { type BuiltStep, buildStep } from "../run/build-step.js";
import { checkOptions } from "../run/option-checks.js";
import { withDefaults } from "../run/option-forms.js";
import type { ProfileModelOptions } from "../run/options.js";
import { profileBuilt } from "../run/profile-built.js";
import { readRun } from "../run/read-run.js";
import { asksForPlan } from "../run/replan.js";
import type { Run } from "../run/run.js";
import { loadWithValues } from "../runtime/load.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { learningRateOf } from "../step/optimizer.js";
import { parseNamed } from "../step/settings.js";
import { stepFor } from "../step/step.js";
import { Evaluation } from "./evaluation.js";
import { checkFeasible, plannedAs } from "./run-plan.js";
import { StepInputs } from "./step-inputs.js";
import { StepTrainer, type TrainerParts } from "./step-trainer.js";
import type { Trainer, TrainerOptions } from "./trainer.js";
import { withoutData } from "./without-data.js";

/**
 * Opens a model for training on a device: reads it, builds its step, and with a budget or a planner measures, plans and
 * checks it as `profileModel` does; with `run` a saved run's plan is taken, whose step must be the same. Training starts
 * from the file's weights, or where it holds none from seeded ones.
 *
 * Throws one line for wrong options and bad input, and `infeasible budget: …` where no plan fits.
 */
export async function openTrainer(file: string, options: TrainerOptions): Promise<Trainer> {
  checkOptions("trainer", options);
  try {
    return await open(file, options);
  } catch (error) {
    throw inOneLine(error);
  }
}

async function open(file: string, { run: given, ...options }: TrainerOptions): Promise<Trainer> {
  const run = typeof given === "string" ? readRun(given) : given;
  if (run && asksForPlan(options)) throw new Error("give a run, whose plan is taken, or a budget or planner: not both");
  const seeded = run && options.seed === undefined ? { ...options, seed: run.seed } : options;
  const settled = withDefaults(seeded);
  const runtime = openRuntime(settled.backend, options);
  try {
    const { backend } = runtime;
    if (backend !== "cpu" && backend !== "cuda")
      throw new Error(`nothing can be trained on backend ${backend}: use cpu or cuda`);
    const built = buildStep(file, runtime, seeded, "tensors");
    const planned = await plannedStep(file, run, built, runtime, seeded);
    const { graph, values, ...parts } = partsOf(file, runtime, built, planned.graph, seeded);
    const { step } = loadWithValues(graph, runtime, values);
    return new StepTrainer({ ...parts, backend, runtime, run: planned.run, graph, step });
  } catch (error) {
    runtime.close();
    throw error;
  }
}

/** What a trainer is made of but for the loaded step, and the first values of that. */
export function partsOf(
  file: string,
  runtime: Runtime,
  { bound, values: given }: Pick<BuiltStep, "bound"> & { readonly values: ReadonlyMap<string, Uint8Array> },
  planned: Graph,
  options: ProfileModelOptions,
): Omit<TrainerParts, "step" | "run" | "backend" | "runtime"> & { readonly values: ReadonlyMap<string, Uint8Array> } {
  const { dims, seed } = withDefaults(options);
  const { loss, precision, accumulate = 1, optimizer } = options;
  const inputs = new StepInputs(planned, bound.graph, loss, accumulate);
  const values = new Map([...given].filter(([name]) => !planned.inputs.includes(name)));
  const state = new Map(
    [...values.keys()].flatMap((name): [string, Tensor][] => {
      const tensor = tensorOf(planned, name);
      return tensor.rate === undefined ? [[name, tensor]] : [];
    }),
  );
  const evaluation = new Evaluation(bound, runtime, new Set(state.keys()), inputs, { dims, loss, precision, seed });
  return {
    file,
    modelSha256: sha256Of(file),
    graph: withoutData(planned, (name) => state.has(name)),
    values,
    state,
    inputs,
    evaluation,
    places: weightPlaces(bound, statSync(file).size),
    learningRate: learningRateOf(parseNamed(optimizer)),
  };
}

/** The step that is trained with, and the run that it comes from: planned where that is asked for. */
async function plannedStep(
  file: string,
  run: Run | undefined,
  built: BuiltStep,
  runtime: Runtime,
  options: ProfileModelOptions,
): Promise<{ graph: Graph; run: Run | null }> {
  const { baseline, bound } = built;
  if (run) {
    const { seed } = withDefaults(options);
    const { optimizer } = run.model;
    const asRun = (rates: "constants" | "tensors"): Graph =>
      stepFor(runtime, bound.graph, { ...options, optimizer, rates }, seed).baseline;
    return { graph: plannedAs(run, file, { own: baseline, asRun }), run };
  }
  if (!asksForPlan(options)) return { graph: baseline, run: null };
  const made = await profileBuilt(file, built, runtime, options);
  if (made.plan === null) return { graph: baseline, run: made };
  checkFeasible(made.plan);
  return { graph: rewrite(baseline, made.plan.decisions, made.plan.states), run: made };
}
