import type { Builder } from "../build/build.js";
import { elementCount, int, isFloat, type Tensor, text } from "../graph/graph.js";
import { math } from "../ops/math.js";
import { cast } from "../ops/shapes.js";
import { type Named, numericSettings } from "./settings.js";

/** What a loss adds to a graph. */
interface LossParts {
  /** Name of the scalar loss. */
  readonly loss: string;
  /** The labels or regression targets, to be given for each step; undefined for a loss that needs none. */
  readonly target?: string;
  /** Emits `scale` times the gradient of the loss with respect to the model's output and returns its name. */
  readonly gradient: (scale: number) => string;
  /** Whether the loss is a mean over the batch: then micro-batches are averaged, else summed. */
  readonly isMean: boolean;
}

/** A loss: reads its settings, which can be wrong without any model, and appends itself to a model's output. */
interface Loss {
  readonly check: (named: Named) => void;
  readonly append: (b: Builder, output: Tensor, named: Named) => LossParts;
}

/** Scalar with the mean of all elements of `x`. */
const mean = (b: Builder, x: string): string => b.op("ReduceMean", [x], { keepdims: int(0) });

/** Scalar with the sum of all elements of `x`. */
const sum = (b: Builder, x: string): string => b.op("ReduceSum", [x], { keepdims: int(0) });

/** A target of the output's shape and element type. */
const likeOutput = (b: Builder, { dtype, shape }: Tensor, range?: readonly [number, number]): string =>
  b.declare({ name: b.fresh("target"), dtype, shape, category: "input", ...(range ? { range } : {}) });

/** The settings of `ce`. Throws for an unknown one and for a wrong value. */
function ceSettings(named: Named): { axis: number; smoothing: number; ignored: number | undefined } {
  const settings = numericSettings(named, { axis: -1, label_smoothing: 0, ignore_index: Number.NaN });
  const smoothing = settings.label_smoothing;
  if (smoothing < 0 || smoothing > 1) throw new Error(`label_smoothing of ce is not from 0 to 1: ${smoothing}`);
  const ignored = Number.isNaN(settings.ignore_index) ? undefined : settings.ignore_index;
  if (ignored !== undefined && !Number.isInteger(ignored))
    throw new Error(`ignore_index of ce is not a whole number: ${ignored}`);
  return { axis: settings.axis, smoothing, ignored };
}

/**
 * Softmax cross-entropy of class scores on one axis (default the last), averaged over all other positions; with
 * `label_smoothing` ε the target is (1 − ε)·one-hot + ε/classes, and positions whose label is `ignore_index` count for
 * nothing, as in PyTorch. Gradient: (softmax − target distribution) / positions that count.
 */
const ce: Loss["append"] = (b, output, named) => {
  const rank = output.shape.length;
  const { smoothing, ignored, ...settings } = ceSettings(named);
  const axis = settings.axis < 0 ? settings.axis + rank : settings.axis;
  const classes = output.shape[axis];
  if (rank < 2 || classes === undefined || !Number.isInteger(axis))
    throw new Error(
      `loss ce does not fit output ${output.name} [${output.shape}]: no axis ${settings.axis} beside a batch`,
    );
  if (classes < 2)
    throw new Error(`loss ce does not fit output ${output.name} [${output.shape}]: only ${classes} class`);

  const m = math(b);
  const shape = output.shape.filter((_, i) => i !== axis);
  const target = b.declare({ name: b.fresh("target"), dtype: "int64", shape, category: "input", range: [0, classes] });
  const logProbabilities = b.op("LogSoftmax", [output.name], { axis: int(axis) });
  const at = { axis: int(axis) };
  const labels = b.op("Unsqueeze", [target, b.vector([axis])]);
  // 1 where a position counts, 0 where its label is the ignored one; that label may be no class at all
  const counts = ignored === undefined ? undefined : m.not(m.equal(labels, ignored));
  const index = counts ? m.where(counts, labels, 0) : labels;
  const weight = counts && cast(b, counts, output.dtype);
  const positions = weight && sum(b, weight);
  /** Scalar with the mean over the positions that count of a tensor with one element for each position. */
  const overPositions = (x: string): string =>
    weight && positions ? m.div(sum(b, m.mul(x, weight)), positions) : mean(b, x);
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
      const minusOneHot = b.constant(output.dtype, b.type(index).shape, smoothing - 1);
      const difference = b.op("ScatterElements", [level, index, minusOneHot], { ...at, reduction: text("add") });
      if (!weight || !positions) return m.mul(difference, scale / elementCount(shape));
      return m.mul(difference, m.mul(weight, m.div(scale, positions)));
    },
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
  ["ce", { check: ceSettings, append: ce }],
  ["mse", plain(mse)],
  ["l1", plain(l1)],
  ["bce", plain(bce)],
  ["sum", plain(total)],
]);

/** Throws `unknown loss: …`, or what is wrong with its settings: all that can be said without a model. */
export const checkLoss = (named: Named): void => lossOf(named).check(named);

function lossOf({ name }: Named): Loss {
  const loss = losses.get(name);
  if (!loss) throw new Error(`unknown loss: ${name} (one of ${[...losses.keys()].join(", ")})`);
  return loss;
}

/**
 * Appends a loss (`ce`, `ce:axis=1,label_smoothing=0.1,ignore_index=-100`, `mse`, `l1`, `bce`, `sum`) to the model's
 * output. Throws `unknown loss: …`, or if the loss does not fit the output's type or shape.
 */
export function appendLoss(b: Builder, output: Tensor, named: Named): LossParts {
  const loss = lossOf(named);
  if (!isFloat(output.dtype)) throw new Error(`loss ${named.name} does not fit output ${output.name}: ${output.dtype}`);
  return loss.append(b, output, named);
}
