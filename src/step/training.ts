import { Builder } from "../build/build.js";
import { NodeError } from "../graph/errors.js";
import { type Graph, isFloat, type Node, prune, type Tensor, tensorOf } from "../graph/graph.js";
import { suffixed } from "../graph/names.js";
import { matchingNames } from "../graph/pattern.js";
import { accumulateGradients, flatten, soon, type Trained } from "./flat.js";
import { backward, dependents } from "./gradient.js";
import { appendInRows } from "./in-rows.js";
import { appendLoss, checkLoss, chunksOf, type LossParts, lossInRows } from "./loss.js";
import { ScaleInStep } from "./loss-scale.js";
import { appendUpdate, checkOptimizer, type Rates, scaleGradients } from "./optimizer.js";
import { checkPrecision, inPrecision } from "./precision.js";
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

/**
 * The whole training step of a model as one graph: forward, loss, backward, update.
 *
 * Parameters, gradients and optimizer state lie in flat buffers, one of each per element type. A parameter that the
 * loss does not depend on stays as it is. `adapt` may write the forward graph, in its precision, as a runtime executes it
 * best, before its gradients are made. Throws for an unknown loss or optimizer, a loss that does not fit the output,
 * an op without gradient on the path, a pattern that matches no parameter, or a model without trainable parameters.
 */
export function trainingStep(
  given: Graph,
  options: StepOptions,
  adapt: (model: Graph, trained: ReadonlySet<string>) => Graph = (model) => model,
): Graph {
  for (const name of Object.keys(trainingChecks) as (keyof TrainingOptions)[]) {
    const check = trainingChecks[name] as (value: unknown) => void;
    if (options[name] !== undefined) check(options[name]);
  }
  const optimizer = parseNamed(options.optimizer);
  const { accumulate = 1, clipNorm } = options;
  const { graph: precise, lossScale } = options.precision
    ? inPrecision(given, options.precision)
    : { graph: given, lossScale: 1 };
  const wanted = trainedParameters(precise, options.freeze ?? []);
  const model = adapt(precise, wanted);
  const { value: outputName, rest: loss } = takeSetting(parseNamed(options.loss), "output");
  const b = new Builder(model);
  const dynamic = typeof lossScale === "number" ? undefined : new ScaleInStep(b, lossScale);
  const scale = typeof lossScale === "number" ? lossScale : 1;
  const seedOf: Task["seedOf"] = (gradient, isMean) => {
    const seed = gradient(scale * (isMean ? 1 / accumulate : 1));
    return dynamic?.times(seed) ?? seed;
  };
  const task: Task = { model, output: chosenOutput(model, outputName), loss, seedOf, wanted };
  const trained: Trained = { flats: [], accumulations: new Map() };
  const batches: MicroBatch[] = [];
  let sums: ReadonlyMap<string, string> | undefined;
  for (let micro = 1; micro <= accumulate; micro++) {
    const batch = appendMicroBatch(b, task, micro, batches.at(-1)?.names ?? new Map());
    batches.push(batch);
    b.scope = suffixed("gradients", micro);
    sums = sums
      ? accumulateGradients(b, sums, batch.gradients, trained, micro, accumulate)
      : flatten(b, model, batch.gradients, trained, accumulate);
  }
  const last = batches.at(-1) as MicroBatch;
  b.phase = "loss";
  const scalar = meanLoss(
    b,
    batches.map((batch) => batch.loss),
    last.isMean,
  );

  b.phase = "update";
  b.scope = "update";
  b.category = "temporary";
  const state = model.state.map(({ before, after }) => ({ before, after: last.names.get(after) ?? after }));
  const finite = dynamic?.finite(trained.flats);
  const flats = scaleGradients(b, trained.flats, { lossScale: dynamic?.scale ?? scale, clipNorm });
  const update = flats.flatMap((flat) => appendUpdate(b, flat, optimizer, options.rates));
  state.push(...(dynamic && finite ? dynamic.guard(finite, update) : update));
  return prune({
    name: model.name,
    nodes: soon(b.nodes, trained.accumulations),
    tensors: b.tensors,
    inputs: batches.flatMap(({ inputs }) => inputs),
    outputs: [scalar],
    state,
    loss: scalar,
    ...(model.origins && { origins: model.origins }),
  });
}

/** What every micro-batch does. */
interface Task {
  readonly model: Graph;
  /** The model's output that the loss is of. */
  readonly output: string;
  readonly loss: Named;
  /** The gradient from which the backward phase starts, scaled; `isMean`: the loss is a mean over samples. */
  readonly seedOf: (gradient: LossParts["gradient"], isMean: boolean) => string;
  readonly wanted: ReadonlySet<string>;
}

interface MicroBatch {
  /** Names that inputs and outputs of the model have in it, where those differ. */
  readonly names: ReadonlyMap<string, string>;
  readonly inputs: readonly string[];
  readonly loss: string;
  readonly isMean: boolean;
  /** Gradient of each trained parameter. */
  readonly gradients: ReadonlyMap<string, string>;
}

/** Appends forward, loss and backward of one micro-batch; `before` holds the names in the one before. */
function appendMicroBatch(b: Builder, task: Task, micro: number, before: ReadonlyMap<string, string>): MicroBatch {
  const { model } = task;
  // the first one's forward nodes are there already
  const start = micro > 1 ? b.nodes.length : 0;
  const names = micro > 1 ? repeatForward(b, model, micro, before) : before;
  const forward = b.nodes.slice(start);
  const nameOf = (name: string): string => names.get(name) ?? name;
  b.scope = suffixed("loss", micro);
  const { loss, target, isMean, seeds } = appendSeeds(b, task, forward, nameOf(task.output));
  const gradients = backward(b, forward, seeds, task.wanted);
  refuseLost(forward, seeds, task.wanted, gradients);
  if (gradients.size === 0)
    throw new Error(
      `no trainable parameters: output ${task.output} of ${model.name} depends on none (export with do_constant_folding=False, freeze fewer, or name another output in --loss)`,
    );
  return { names, inputs: [...model.inputs.map(nameOf), ...(target ? [target] : [])], loss, isMean, gradients };
}

/** Throws `no gradient: …` for a parameter that the loss depends on through differentiable ops and that got none. */
function refuseLost(
  forward: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  wanted: ReadonlySet<string>,
  gradients: ReadonlyMap<string, string>,
): void {
  const lost = [...wanted].filter((name) => !gradients.has(name));
  if (!lost.length) return;
  for (const name of lost) {
    const reached = dependents(forward, new Set([name]));
    if (![...seeds.keys()].some((seed) => reached.has(seed))) continue;
    const reader = forward.find((node) => node.inputs.includes(name)) as Node;
    throw new NodeError(`no gradient: parameter ${name} of ${reader.op}`, reader, {
      hint: `it is on the loss's path; --freeze '${name}' leaves it as it is`,
    });
  }
}

/** Appends the loss of an output, whole or in slices of rows, and the gradients from which the backward phase starts. */
function appendSeeds(b: Builder, { loss: named, seedOf, wanted }: Task, forward: Node[], output: string) {
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

/**
 * Adds the model's forward pass once more, on inputs of its own, from the state that the last one left. Returns the
 * names that inputs and outputs of the model have in it.
 */
function repeatForward(b: Builder, model: Graph, micro: number, before: ReadonlyMap<string, string>) {
  const names = new Map<string, string>();
  for (const name of model.inputs) {
    const copy = b.fresh(suffixed(name, micro));
    b.declare({ ...b.type(name), name: copy });
    names.set(name, copy);
  }
  for (const { before: first, after } of model.state) names.set(first, before.get(after) ?? after);
  b.phase = "forward";
  b.category = "activation";
  for (const node of model.nodes) {
    const outputs = node.outputs.map((name) => {
      if (!name) return "";
      const copy = b.fresh(suffixed(name, micro));
      names.set(name, copy);
      return copy;
    });
    const inputs = node.inputs.map((name) => names.get(name) ?? name);
    b.add(node.op, inputs, node.attributes, { domain: node.domain, name: suffixed(node.name, micro), outputs });
  }
  return names;
}

/** The step's loss: the only one there is, the mean or the sum of the micro-batches'. */
function meanLoss(b: Builder, losses: readonly string[], isMean: boolean): string {
  const [first = ""] = losses;
  b.category = "activation";
  b.scope = "loss";
  const total = losses.reduce((sum, loss) => b.op("Add", [sum, loss]));
  const scalar = isMean && losses.length > 1 ? b.op("Mul", [total, b.scalar(1 / losses.length, first)]) : total;
  const name = b.fresh("loss");
  b.rename(scalar, name);
  return name;
}
