import { type Graph, producers } from "../graph/graph.js";
import { putTrial, trialPieces } from "../graph/trials.js";
import { layout } from "../memory/layout.js";
import { type BoundModel, readModel } from "../model/read.js";
import { checkHostMemory } from "../runtime/host-memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { initialValues, seededGraph } from "../step/initial.js";
import { lowerFor } from "../step/lower.js";
import { stepOn } from "../step/step.js";
import { lossOutput, type StepOptions } from "../step/training.js";
import { executes, givenBytes } from "./build-step.js";
import type { TrialSpec } from "./trials.js";

/** One of several models with its own step, as `buildStep` would make it. */
export interface BuiltTrial {
  readonly spec: TrialSpec;
  readonly bound: BoundModel;
  /** Learning rates as constants or as tensors. */
  readonly rates: StepOptions["rates"];
  readonly step: Graph;
  readonly baseline: Graph;
  /** First values of what no node of its own step makes; made when they are asked for. */
  values(): ReadonlyMap<string, Uint8Array>;
}

/** The function, which makes its answer once for each key. */
function keyed<T>(): (key: unknown, make: () => T) => T {
  const made = new Map<string, T>();
  return (key, make) => {
    const text = JSON.stringify(key);
    const known = made.get(text) ?? make();
    made.set(text, known);
    return known;
  };
}

/**
 * The own steps of several models; each file is read once, and models that differ in their seed alone share what is made of
 * it. Throws what `readModel` and `stepFor` throw, with the model's name where there are others.
 */
export function buildTrials(
  specs: readonly TrialSpec[],
  runtime: Runtime,
  rates?: StepOptions["rates"],
  onProgress: (done: number, total: number) => void = () => {},
): BuiltTrial[] {
  const bounds = keyed<BoundModel>();
  const steps = keyed<{ step: Graph; lowered: Graph }>();
  return specs.map((spec, i): BuiltTrial => {
    const { file, options, seed, name } = spec;
    const { dims, batchNorm, loss } = options;
    onProgress(i, specs.length);
    try {
      const reading = { dims, batchNorm, output: lossOutput(loss) };
      const bound = bounds([file, reading], () => readModel(file, { ...reading, runtime }));
      const { step, lowered } = steps([file, options], () => {
        const made = stepOn(runtime, bound.graph, { ...options, rates });
        return { step: made, lowered: lowerFor(runtime, made) };
      });
      const baseline = seededGraph(lowered, seed);
      let made: ReadonlyMap<string, Uint8Array> | undefined;
      const values = (): ReadonlyMap<string, Uint8Array> => (made ??= initialValues(baseline, step, seed));
      return { spec, bound, rates, step, baseline, values };
    } catch (error) {
      if (specs.length > 1) (error as Error).message = `${(error as Error).message} (model ${name}: ${file})`;
      throw error;
    }
  });
}

/** First values of a joint step: those of its models alone, each where the joint graph has it. */
export function jointValues(runtime: Runtime, graph: Graph, trials: readonly BuiltTrial[]): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  if (!executes(runtime)) return values;
  const own = new Map(trials.map((trial) => [trial.spec.name, trial]));
  for (const trial of graph.trials ?? []) {
    const built = own.get(trial.name);
    if (!built) continue;
    for (const [name, bytes] of built.values())
      putTrial(values, graph, trialPieces(graph, trial, built.baseline, name), bytes);
  }
  // what only the joint step has: settings that differ between models
  const made = producers(graph);
  for (const { name, data, category } of graph.tensors.values())
    if (data && category !== "constant" && !made.has(name) && !values.has(name)) values.set(name, data);
  return values;
}

/** Throws `out of memory: …` on a CPU that cannot hold the models one after the other in one step. */
export function checkJointMemory(trials: readonly BuiltTrial[]): void {
  let [given, between] = [0, 0];
  for (const { baseline } of trials) {
    const residents = givenBytes(baseline);
    given += 2 * residents;
    between = Math.max(between, layout(baseline).arenaBytes - residents);
  }
  checkHostMemory(given + between);
}
