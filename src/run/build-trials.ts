import { formatBytes, formatCount } from "../format.js";
import { type Graph, producers } from "../graph/graph.js";
import { putTrial, trialPieces } from "../graph/trials.js";
import { layout } from "../memory/layout.js";
import { timeline } from "../memory/liveness.js";
import { type BoundModel, readModel } from "../model/read.js";
import type { Runtime } from "../runtime/runtime.js";
import { initialValues, seededGraph } from "../step/initial.js";
import { lowerFor } from "../step/lower.js";
import { stepOn } from "../step/step.js";
import { lossOutput, type StepOptions } from "../step/training.js";
import { executes, givenBytes } from "./build-step.js";
import type { FitCount } from "./together.js";
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
function keyedBy<K, T>(): (key: K, make: () => T) => T {
  const made = new Map<K, T>();
  return (key, make) => {
    const known = made.get(key) ?? make();
    made.set(key, known);
    return known;
  };
}

/** The same for keys that are equal as JSON. */
function keyed<T>(): (key: unknown, make: () => T) => T {
  const once = keyedBy<string, T>();
  return (key, make) => once(JSON.stringify(key), make);
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

/** What a model's own step takes, bytes: through the whole step, beside that while it is computed, and its first values. */
interface OwnBytes {
  readonly residents: number;
  readonly between: number;
  readonly given: number;
}

/**
 * Throws `out of memory: …` where some memory cannot hold the models one after the other in one step, which takes the least, and
 * says how many of them it holds. On a CPU (`isHost`) the first values lie beside the step.
 */
export function checkJointMemory(trials: readonly BuiltTrial[], freeBytes: number, isHost: boolean): void {
  // steps of one kind are laid out once
  const own = keyedBy<Graph, OwnBytes>();
  let [through, between, fit] = [0, 0, 0];
  for (const { step, baseline } of trials) {
    const bytes = own(step, () => {
      const { residentBytes: residents } = timeline(baseline);
      return { residents, between: layout(baseline).arenaBytes - residents, given: givenBytes(baseline) };
    });
    through += bytes.residents + (isHost ? bytes.given : 0);
    between = Math.max(between, bytes.between);
    if (through + between <= freeBytes) fit++;
  }
  const needed = through + between;
  if (needed > freeBytes)
    throw tooMany(
      trials.length,
      fit,
      `one after the other in one step they need ${formatBytes(needed)}, ${formatBytes(freeBytes)} are free`,
    );
}

/** That some of several models do not fit, and how many do. */
const tooMany = (count: number, fit: number, why: string): Error =>
  new Error(
    `out of memory: ${formatCount(count)} models do not fit: ${why}; ${
      fit === 0
        ? "not even one fits (bind smaller dimensions, or pass a --budget)"
        : `${formatCount(fit)} fit (--copies ${fit})`
    }`,
  );

/** Throws `out of memory: …` where more models are asked for than `fits` says that a device holds. */
export function checkFits(count: number, fits: FitCount | null): void {
  if (!fits || count <= fits.planned) return;
  throw tooMany(
    count,
    fits.planned,
    `${formatBytes(fits.limitBytes)} are free, which hold ${formatCount(fits.unplanned)} at once without a plan`,
  );
}
