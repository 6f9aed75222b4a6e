import type { Builder } from "../build/build.js";
import { elementCount, int, isFloat, type Tensor, text } from "../graph/graph.js";
import { math } from "../ops/math.js";
import { cast } from "../ops/shapes.js";
import { type Named, numericSettings } from "./settings.js";

/** What a loss adds to a graph. */
export interface LossParts {
  /** Name of the scalar loss. */
  readonly loss: string;
  /** The labels or regression targets, to be given for each step; undefined for a loss that needs none. */
  readonly target?: string;
  /** Emits `scale` times the gradient of the loss with respect to the model's output and returns its name. */
  readonly gradient: (scale: number) => string;
  /** Whether the loss is a mean over the batch: then micro-batches are averaged, else summed. */
  readonly isMean: boolean;
}

/** A loss that is a sum over slices of rows: over all axes but the last as one. */
export interface LossInRows extends Required<Pick<LossParts, "target" | "isMean">> {
  /** Appends what some rows, with their targets, add to the loss. */
  readonly part: (rows: Tensor, target: string) => Pick<LossParts, "loss" | "gradient">;
}

/** A loss: reads its settings, which can be wrong without any model, and appends itself to a model's output. */
interface Loss {
  readonly check: (named: Named) => void;
  readonly append: (b: Builder, output: Tensor, named: Named) => LossParts;
  readonly inRows?: (b: Builder, output: Tensor, named: Named) => LossInRows;
  /** In how many slices of rows the settings ask for it. Default: 1. */
  readonly chunks?: (named: Named) => number;
  /** The target that the settings leave out of the loss. Default: none. */
  readonly ignored?: (named: Named) => number | undefined;
}

/** Scalar with the mean of all elements of `x`. */
const mean = (b: Builder, x: string): string => b.op("ReduceMean", [x], { keepdims: int(0) });

/** Scalar with the sum of all elements of `x`. */
const sum = (b: Builder, x: string): string => b.op("ReduceSum", [x], { keepdims: int(0) });

/** A target of the output's shape and element type. */
const likeOutput = (b: Builder, { dtype, shape }: Tensor, range?: readonly [number, number]): string =>
  b.declare({ name: b.fresh("target"), dtype, shape, category: "input", ...(range ? { range } : {}) });

/** The settings of `ce`. Throws for an unknown one and for a wrong value. */
function ceSettings(named: Named): { axis: number; smoothing: number; ignored: number | undefined; chunks: number } {
  const defaults = { axis: -1, label_smoothing: 0, ignore_index: Number.NaN, chunks: 1 };
  const { axis, chunks, ...settings } = numericSettings(named, defaults);
  const smoothing = settings.label_smoothing;
  if (smoothing < 0 || smoothing > 1) throw new Error(`label_smoothing of ce is not from 0 to 1: ${smoothing}`);
  const ignored = Number.isNaN(settings.ignore_index) ? undefined : settings.ignore_index;
  if (ignored !== undefined && !Number.isInteger(ignored))
    throw new Error(`ignore_index of ce is not a whole number: ${ignored}`);
  if (!Number.isSafeInteger(chunks) || chunks < 1)
    throw new Error(`chunks of ce is not a positive whole number: ${chunks}`);
  return { axis, smoothing, ignored, chunks };
}

/** Where the classes are and what counts, for class scores of some shape. */
export interface Classes {
  readonly axis: number;
  readonly classes: number;
  readonly smoothing: number;
  /** The label that counts for nothing. */
  readonly ignored: number | undefined;
}

/** What `ce` is to do with scores of that shape. Throws if it does not fit. */
export function classesOf({ name, shape }: Pick<Tensor, "name" | "shape">, named: Named): Classes {
  const { smoothing, ignored, axis: given } = ceSettings(named);
  const axis = given < 0 ? given + shape.length : given;
  const classes = shape[axis];
  const what = `loss ce does not fit output ${name} [${shape}]`;
  if (shape.length < 2 || classes === undefined || !Number.isInteger(axis))
    throw new Error(`${what}: no axis ${given} beside a batch`);
  if (classes < 2) throw new Error(`${what}: only ${classes} class`);
  return { axis, classes, smoothing, ignored };
}

/** Declares the labels of class scores: one for each position. */
function labelsFor(b: Builder, { shape }: Tensor, { axis, classes }: Classes): string {
  const positions = shape.filter((_, i) => i !== axis);
  return b.declare({
    name: b.fresh("target"),
    dtype: "int64",
    shape: positions,
    category: "input",
    range: [0, classes],
  });
}

/** Positions of which some scores are a part: how many, and the scalar with the number of those that count if not all do. */
interface Positions {
  readonly count: number;
  readonly counting?: string | undefined;
}

/** Cross-entropy of class scores: of all, or of a part, whose loss is its share in the mean over all positions. */
function crossEntropy(
  b: Builder,
  scores: Tensor,
  target: string,
  { axis, classes, smoothing, ignored }: Classes,
  all?: Positions,
): LossParts {
  const m = math(b);
  const logProbabilities = b.op("LogSoftmax", [scores.name], { axis: int(axis) });
  const at = { axis: int(axis) };
  const labels = b.op("Unsqueeze", [target, b.vector([axis])]);
  // 1 where a position counts, 0 where its label is the ignored one; that label may be no class at all
  const counts = ignored === undefined ? undefined : m.not(m.equal(labels, ignored));
  const index = counts ? m.where(counts, labels, 0) : labels;
  const weight = counts && cast(b, counts, scores.dtype);
  const counting = all ? all.counting : weight && sum(b, weight);
  /** Scalar with the mean over the positions that count of a tensor with one element for each position. */
  const overPositions = (x: string): string => {
    if (weight && counting) return m.div(sum(b, m.mul(x, weight)), counting);
    return all ? m.mul(sum(b, x), 1 / all.count) : mean(b, x);
  };
  const picked = overPositions(b.op("GatherElements", [logProbabilities, index], at));
  const uniform = (): string =>
    overPositions(b.op("ReduceMean", [logProbabilities, b.vector([axis])], { keepdims: int(1) }));
  const likelihood = smoothing ? m.add(m.mul(picked, 1 - smoothing), m.mul(uniform(), smoothing)) : picked;
  return {
    loss: m.neg(likelihood),
    target,
    isMean: true,
    gradient: (scale) => {
      const probabilities = m.exp(logProbabilities);
      const level = smoothing ? m.sub(probabilities, smoothing / classes) : probabilities;
      const minusOneHot = b.constant(scores.dtype, b.type(index).shape, smoothing - 1);
      const difference = b.op("ScatterElements", [level, index, minusOneHot], { ...at, reduction: text("add") });
      if (weight && counting) return m.mul(difference, m.mul(weight, m.div(scale, counting)));
      return m.mul(difference, scale / (all?.count ?? elementCount(b.type(target).shape)));
    },
  };
}

/**
 * Softmax cross-entropy of class scores on one axis (default the last), averaged over all other positions; with
 * `label_smoothing` ε the target is (1 − ε)·one-hot + ε/classes, and positions whose label is `ignore_index` count for
 * nothing, as in PyTorch. Gradient: (softmax − target distribution) / positions that count.
 */
const ce: Loss["append"] = (b, output, named) => {
  const classes = classesOf(output, named);
  return crossEntropy(b, output, labelsFor(b, output, classes), classes);
};

/** The same in slices of rows. Throws if the classes are not on the last axis, or if there are too few rows. */
const ceInRows: NonNullable<Loss["inRows"]> = (b, output, named) => {
  const classes = classesOf(output, named);
  const { chunks } = ceSettings(named);
  const { name, shape } = output;
  if (classes.axis !== shape.length - 1)
    throw new Error(
      `chunks of ce need the classes on the last axis of output ${name} [${shape}]: axis ${classes.axis}`,
    );
  const target = labelsFor(b, output, classes);
  const count = elementCount(b.type(target).shape);
  if (chunks > count)
    throw new Error(`chunks of ce are more than the ${count} rows of output ${name} [${shape}]: ${chunks}`);
  const m = math(b);
  const { ignored } = classes;
  const counting = ignored === undefined ? undefined : sum(b, cast(b, m.not(m.equal(target, ignored)), output.dtype));
  return {
    target,
    isMean: true,
    part: (scores, labels) => crossEntropy(b, scores, labels, classes, { count, counting }),
  };
};

/** Mean squared error over all elements. Gradient: 2 (output − target) / elements. */
const mse: Loss["append"] = (b, output) => {
  const m = math(b);
  const target = likeOutput(b, output);
  const difference = m.sub(output.name, target);
  return {
    loss: mean(b, m.square(difference)),
    target,
    isMean: true,
    gradient: (scale) => m.mul(difference, (2 * scale) / elementCount(output.shape)),
  };
};

/** Mean absolute error over all elements. Gradient: sign(output − target) / elements. */
const l1: Loss["append"] = (b, output) => {
  const m = math(b);
  const target = likeOutput(b, output);
  const difference = m.sub(output.name, target);
  return {
    loss: mean(b, m.abs(difference)),
    target,
    isMean: true,
    gradient: (scale) => m.mul(m.sign(difference), scale / elementCount(output.shape)),
  };
};

/**
 * Binary cross-entropy with logits x and targets t from 0 to 1, averaged over all elements:
 * max(x, 0) − x·t + ln(1 + e^−|x|). Gradient: (σ(x) − t) / elements.
 */
const bce: Loss["append"] = (b, output) => {
  const m = math(b);
  const target = likeOutput(b, output, [0, 1]);
  const tail = m.log(m.add(m.exp(m.neg(m.abs(output.name))), 1));
  const each = m.add(m.sub(b.op("Relu", [output.name]), m.mul(output.name, target)), tail);
  return {
    loss: mean(b, each),
    target,
    isMean: true,
    gradient: (scale) => m.mul(m.sub(m.sigmoid(output.name), target), scale / elementCount(output.shape)),
  };
};

/** The sum of all elements of the output: a model that computes its own loss. Gradient: 1. */
const total: Loss["append"] = (b, output) => {
  return {
    loss: sum(b, output.name),
    isMean: false,
    // made by a node, so that it has a place of its own
    gradient: (scale) => b.op("Expand", [b.scalar(scale, output.name), b.vector(output.shape)]),
  };
};

/** A loss without settings. */
const plain = (append: Loss["append"]): Loss => ({ check: (named) => void numericSettings(named, {}), append });

const losses: ReadonlyMap<string, Loss> = new Map([
  [
    "ce",
    {
      check: ceSettings,
      append: ce,
      inRows: ceInRows,
      chunks: (named) => ceSettings(named).chunks,
      ignored: (named) => ceSettings(named).ignored,
    },
  ],
  ["mse", plain(mse)],
  ["l1", plain(l1)],
  ["bce", plain(bce)],
  ["sum", plain(total)],
]);

/** The names of all losses. */
export const lossNames: readonly string[] = [...losses.keys()];

/** Throws `unknown loss: …`, or what is wrong with its settings: all that can be said without a model. */
export const checkLoss = (named: Named): void => lossOf(named).check(named);

function lossOf({ name }: Named): Loss {
  const loss = losses.get(name);
  if (!loss) throw new Error(`unknown loss: ${name} (one of ${lossNames.join(", ")})`);
  return loss;
}

/** In how many slices of rows a loss is to be computed. */
export const chunksOf = (named: Named): number => lossOf(named).chunks?.(named) ?? 1;

/** The target that a loss leaves out (`ignore_index`); undefined if it leaves out none. */
export const ignoredTarget = (named: Named): number | undefined => lossOf(named).ignored?.(named);

/**
 * Appends a loss (`ce`, `ce:axis=1,label_smoothing=0.1,ignore_index=-100`, `mse`, `l1`, `bce`, `sum`) to the model's
 * output. Throws `unknown loss: …`, or if the loss does not fit the output's type or shape.
 */
export function appendLoss(b: Builder, output: Tensor, named: Named): LossParts {
  return fitting(output, named).append(b, output, named);
}

/** Appends what all slices of a loss need, for a model's output that is never made as a whole. Throws as `appendLoss`. */
export function lossInRows(b: Builder, output: Tensor, named: Named): LossInRows {
  const { inRows } = fitting(output, named);
  if (!inRows) throw new Error(`loss ${named.name} has no chunks`);
  return inRows(b, output, named);
}

function fitting(output: Tensor, named: Named): Loss {
  if (!isFloat(output.dtype)) throw new Error(`loss ${named.name} does not fit output ${output.name}: ${output.dtype}`);
  return lossOf(named);
}
