import { Builder } from "../build/build.js";
import { type Graph, isFloat, type Node, type Tensor, tensorOf } from "../graph/graph.js";
import { matchingNames } from "../graph/pattern.js";
import { assembled, type SeededLoss } from "./assembled.js";
import type { Setting } from "./coefficients.js";
import { appendInRows } from "./in-rows.js";
import { appendLoss, checkLoss, chunksOf, type LossParts, lossInRows } from "./loss.js";
import { type LossScale, ScaleInStep } from "./loss-scale.js";
import { appendUpdate, checkOptimizer, type FlatParameters, type Rates, type State } from "./optimizer.js";
import { checkPrecision, inPrecision } from "./precision.js";
import { scaleGradients } from "./scaled-gradients.js";
import { type Named, parseNamed, takeSetting } from "./settings.js";

/** How a model is trained: what makes a training step of it. */
export interface TrainingOptions {
  /**
   * `ce` (settings `axis`, `label_smoothing`, `ignore_index`, `chunks`), `mse`, `l1`, `bce` or `sum`, on the model's first
   * output of floats or the one named by `output`: `ce:axis=1,output=logits`.
   */
  readonly loss: string;
  /** `sgd`, `adam` or `adamw`, with settings: `adam:lr=1e-3`. */
  readonly optimizer: string;
  /** Micro-batches of the bound batch size whose gradients are averaged before one update; default 1. */
  readonly accumulate?: number;
  /** Greatest norm of all gradients together; gradients beyond it are scaled down to it. */
  readonly clipNorm?: number;
  /** Names of parameters that are not trained; `*` stands for any characters, `?` for one. */
  readonly freeze?: readonly string[];
  /** `mixed` or `float64`, see `inPrecision`; the model's own if absent. */
  readonly precision?: string;
}

/** How a training step is made, beside the options that a user gives. */
export interface StepOptions extends TrainingOptions {
  /** "tensors": the optimizer's rates are tensors of the graph, which a trainer writes between steps; default "constants". */
  readonly rates?: Rates;
}

/** For each option, what throws if its value is wrong as far as can be said without a model. */
export const trainingChecks: {
  readonly [K in keyof TrainingOptions]-?: (value: NonNullable<TrainingOptions[K]>) => void;
} = {
  loss: (text) => checkLoss(takeSetting(parseNamed(text), "output").rest),
  optimizer: (text) => checkOptimizer(parseNamed(text)),
  accumulate(count) {
    if (!Number.isSafeInteger(count) || count < 1)
      throw new Error(`micro-batches to accumulate are not a positive whole number: ${count}`);
  },
  clipNorm(norm) {
    if (!(norm > 0)) throw new Error(`norm to clip to is not positive: ${norm}`);
  },
  freeze(patterns) {
    if (patterns.includes("")) throw new Error("pattern of frozen parameters is empty");
  },
  precision: (text) => checkPrecision(parseNamed(text)),
};

/** Rewrites a forward graph as a runtime executes it best; `trained` are the parameters that get gradients. */
export type Adapt = (model: Graph, trained: ReadonlySet<string>) => Graph;

/** A forward graph ready for its gradients, and what its options say of them. */
export interface PreparedModel {
  readonly model: Graph;
  /** Parameters that are trained. */
  readonly wanted: ReadonlySet<string>;
  /** The output that the loss is of. */
  readonly output: string;
  readonly loss: Named;
  /** What the loss is multiplied by before the backward phase. */
  readonly lossScale: LossScale;
}

/** A forward graph in its precision, adapted. Throws what `trainingStep` throws before gradients are made. */
export function prepared(given: Graph, options: StepOptions, adapt: Adapt): PreparedModel {
  for (const name of Object.keys(trainingChecks) as (keyof TrainingOptions)[]) {
    const check = trainingChecks[name] as (value: unknown) => void;
    if (options[name] !== undefined) check(options[name]);
  }
  const { graph: precise, lossScale } = options.precision
    ? inPrecision(given, options.precision)
    : { graph: given, lossScale: 1 };
  const wanted = trainedParameters(precise, options.freeze ?? []);
  const model = adapt(precise, wanted);
  const { value: outputName, rest: loss } = takeSetting(parseNamed(options.loss), "output");
  return { model, wanted, output: chosenOutput(model, outputName), loss, lossScale };
}

/**
 * The whole training step of a model as one graph: forward, loss, backward, update.
 *
 * Parameters, gradients and optimizer state lie in flat buffers, one of each per element type. A parameter that the
 * loss does not depend on stays as it is. `adapt` may write the forward graph, in its precision, as a runtime executes it
 * best, before its gradients are made. Throws for an unknown loss or optimizer, a loss that does not fit the output,
 * an op without gradient on the path, a pattern that matches no parameter, or a model without trainable parameters.
 */
export function trainingStep(given: Graph, options: StepOptions, adapt: Adapt = (model) => model): Graph {
  const { model, wanted, output, loss, lossScale } = prepared(given, options, adapt);
  const optimizer = parseNamed(options.optimizer);
  const { accumulate = 1, clipNorm } = options;
  const b = new Builder(model);
  const dynamic = typeof lossScale === "number" ? undefined : new ScaleInStep(b, lossScale);
  const scale = typeof lossScale === "number" ? lossScale : 1;
  const seedOf: SeedOf = (gradient, isMean) => {
    const seed = gradient(scale * (isMean ? 1 / accumulate : 1));
    return dynamic?.times(seed) ?? seed;
  };
  return assembled(b, {
    model,
    output,
    accumulate,
    wanted,
    losses: (forward, nameOf) => appendSeeds(b, { loss, wanted, seedOf }, forward, nameOf(output)),
    lossName: "loss",
    finish: (scalar) => ({ outputs: [scalar], loss: scalar }),
    update: (flats) =>
      appendUpdates(b, flats, { optimizers: [optimizer], rates: options.rates, lossScale: dynamic ?? scale, clipNorm }),
  });
}

/** How all flat buffers are updated. */
export interface UpdateSettings {
  /** One for all models, or one for each. */
  readonly optimizers: readonly [Named, ...Named[]];
  readonly rates: Rates | undefined;
  readonly lossScale: number | ScaleInStep;
  readonly clipNorm: Setting | undefined;
}

/** Appends the update of all flat buffers; what it replaces. */
export function appendUpdates(
  b: Builder,
  given: readonly FlatParameters[],
  { optimizers, rates, lossScale, clipNorm }: UpdateSettings,
): State[] {
  const dynamic = typeof lossScale === "number" ? undefined : lossScale;
  const finite = dynamic?.finite(given);
  const scale = typeof lossScale === "number" ? lossScale : lossScale.scale;
  const flats = scaleGradients(b, given, { lossScale: scale, clipNorm });
  const update = flats.flatMap((flat) => {
    const own = appendUpdate(b, flat, optimizers, rates);
    return dynamic && finite ? dynamic.guard(finite, flat, own) : own;
  });
  return dynamic && finite ? [...update, ...dynamic.next(finite)] : update;
}

/** The gradient from which the backward phase starts, scaled; `isMean`: the loss is a mean over samples. */
type SeedOf = (gradient: LossParts["gradient"], isMean: boolean) => string;

/** Appends the loss of an output, whole or in slices of rows, and the gradients from which the backward phase starts. */
function appendSeeds(
  b: Builder,
  {
    loss: named,
    seedOf,
    wanted,
  }: { readonly loss: Named; readonly seedOf: SeedOf; readonly wanted: ReadonlySet<string> },
  forward: readonly Node[],
  output: string,
): SeededLoss {
  b.phase = "loss";
  b.category = "activation";
  const chunks = chunksOf(named);
  if (chunks > 1) {
    const inRows = lossInRows(b, b.type(output), named);
    const seeded = (gradient: LossParts["gradient"]): string => seedOf(gradient, inRows.isMean);
    return { ...inRows, ...appendInRows(b, forward, output, inRows, { chunks, wanted, seedOf: seeded }) };
  }
  const { loss, target, isMean, gradient } = appendLoss(b, b.type(output), named);
  b.phase = "backward";
  b.category = "temporary";
  const seed = seedOf(gradient, isMean);
  b.redeclare({ ...b.type(seed), category: "gradient" });
  return { loss, target, isMean, seeds: new Map([[output, seed]]) };
}

/** The name of the output that a loss asks for (`ce:output=logits`); null if it names none. */
export const lossOutput = (loss: string): string | null => takeSetting(parseNamed(loss), "output").value ?? null;

/** The output that the loss is of: the named one, else the first of floats. Throws `no output: …` or `unknown output: …`. */
function chosenOutput(model: Graph, named: string | undefined): string {
  const output = named ?? model.outputs.find((name) => isFloat(tensorOf(model, name).dtype)) ?? model.outputs[0];
  if (!output) throw new Error(`no output: ${model.name}`);
  if (!model.outputs.includes(output))
    throw new Error(`unknown output: ${output} (one of ${model.outputs.join(", ")})`);
  return output;
}

/** Names of the parameters that are to be trained. Throws `pattern matches no parameter: …`. */
function trainedParameters(model: Graph, freeze: readonly string[]): Set<string> {
  const parameters = [...model.tensors.values()].filter((t) => t.category === "parameter");
  const frozen = frozenNames(parameters, freeze);
  if (parameters.length > 0 && frozen.size === parameters.length)
    throw new Error(
      `all ${frozen.size} parameters are frozen: nothing of ${model.name} is left to train (freeze fewer)`,
    );
  return new Set(parameters.map(({ name }) => name).filter((name) => !frozen.has(name)));
}

/** The parameters that the patterns name (`*` any characters, `?` one). Throws `pattern matches no parameter: …`. */
export const frozenNames = (parameters: readonly Pick<Tensor, "name">[], patterns: readonly string[]): Set<string> =>
  matchingNames(
    parameters.map(({ name }) => name),
    patterns,
    "parameter",
  );
