import { elementCount } from "../graph/graph.js";
import type { Classes } from "../step/loss.js";

/** A batch's output and what it is compared with. */
export interface Measured {
  readonly shape: readonly number[];
  readonly scores: ArrayLike<number>;
  readonly target: ArrayLike<number> | undefined;
}

/** Sums over positions of class scores. */
export interface ClassSums {
  /** Positions that counted. */
  readonly count: number;
  /** Of the losses of all positions. */
  readonly loss: number;
  /** Negative logarithms of the right classes' probabilities. */
  readonly unlikelihood: number;
  /** Positions whose highest score is the right class's; of equal scores the first counts. */
  readonly correct: number;
  /** Positions whose right class is among the k highest, by k. */
  readonly hits: ReadonlyMap<number, number>;
}

/** Sums over elements. */
export interface ElementSums {
  readonly count: number;
  readonly loss: number;
  readonly absolute: number;
  readonly squared: number;
  /** Elements that lie on the target's side: the output's of 0, the target's of 0.5. */
  readonly correct: number;
}

/** Sums that grow batch by batch. */
interface RunningSums<T> {
  /** Adds a batch, of which the first part counts: a share from 0 to 1 of dimension 0. */
  readonly add: (batch: Measured, share: number) => void;
  readonly total: () => T;
}

/** How many of so many positions count; the first samples are the first positions. */
const counting = (positions: number, share: number): number => Math.round(positions * share);

/**
 * Cross-entropy of class scores z with the right class t: ln Σ e^z − z_t, in a form that does not overflow; with label
 * smoothing ε, (1 − ε) times that and ε times its mean over all classes, as the loss `ce` has it.
 */
export function classSums({ axis, smoothing, ignored }: Classes, ks: readonly number[]): RunningSums<ClassSums> {
  let [count, loss, unlikelihood, correct] = [0, 0, 0, 0];
  const hits = new Map(ks.map((k) => [k, 0]));
  return {
    add({ shape, scores, target }, share) {
      const classes = shape[axis] as number;
      const inner = elementCount(shape.slice(axis + 1));
      const positions = elementCount(shape) / classes;
      if (target?.length !== positions)
        throw new Error(`${target?.length ?? "no"} targets for the ${positions} positions of an output [${shape}]`);
      const last = counting(positions, share);
      for (let position = 0; position < last; position++) {
        const label = target[position] as number;
        if (label === ignored) continue;
        if (!(Number.isInteger(label) && label >= 0 && label < classes))
          throw new Error(`no class ${label} of ${classes} (position ${position} of a batch's targets)`);
        const start = Math.floor(position / inner) * classes * inner + (position % inner);
        const { log, mean, rank } = positionOf(scores, { start, stride: inner, classes, label });
        count++;
        unlikelihood += log;
        loss += smoothing ? (1 - smoothing) * log + smoothing * mean : log;
        if (rank === 0) correct++;
        for (const k of ks) if (rank < k) hits.set(k, (hits.get(k) as number) + 1);
      }
    },
    total: () => ({ count, loss, unlikelihood, correct, hits }),
  };
}

interface Position {
  readonly start: number;
  readonly stride: number;
  readonly classes: number;
  readonly label: number;
}

/** One position's scores: the right class's negative log probability, the mean of all classes', how many are before it. */
function positionOf(scores: ArrayLike<number>, { start, stride, classes, label }: Position) {
  const right = scores[start + label * stride] as number;
  let most = Number.NEGATIVE_INFINITY;
  let total = 0;
  let rank = 0;
  for (let i = 0; i < classes; i++) {
    const score = scores[start + i * stride] as number;
    total += score;
    if (score > most) most = score;
    // of equal scores the first is the highest; what is not a number is before all others
    if (score > right || Number.isNaN(score) || (score === right && i < label)) rank++;
  }
  if (Number.isNaN(right)) rank = classes;
  let sum = 0;
  for (let i = 0; i < classes; i++) sum += Math.exp((scores[start + i * stride] as number) - most);
  const all = most + Math.log(sum);
  return { log: all - right, mean: all - total / classes, rank };
}

/** What each loss adds for an element x with target t: as src/step/loss.ts says it. */
const losses: Readonly<Record<string, (x: number, t: number) => number>> = {
  mse: (x, t) => (x - t) ** 2,
  l1: (x, t) => Math.abs(x - t),
  bce: (x, t) => Math.max(x, 0) - x * t + Math.log1p(Math.exp(-Math.abs(x))),
};

/**
 * Sums over the elements of outputs and targets, of a loss that compares them one by one; of the loss `sum` over the
 * elements of the output, which count as one for each batch.
 */
export function elementSums(loss: string): RunningSums<ElementSums> {
  const each = losses[loss];
  let [count, lossSum, absolute, squared, correct] = [0, 0, 0, 0, 0];
  const addBatch = ({ scores }: Measured, share: number): void => {
    // one number of the batch, or some of each sample
    const last = scores.length > 1 ? counting(scores.length, share) : scores.length;
    for (let i = 0; i < last; i++) lossSum += scores[i] as number;
    count++;
  };
  return {
    add(batch, share) {
      if (!each) {
        addBatch(batch, share);
        return;
      }
      const { shape, scores, target } = batch;
      if (target?.length !== scores.length)
        throw new Error(`${target?.length ?? "no"} targets for the ${scores.length} elements of an output [${shape}]`);
      const last = counting(scores.length, share);
      for (let i = 0; i < last; i++) {
        const [x, t] = [scores[i] as number, target[i] as number];
        lossSum += each(x, t);
        absolute += Math.abs(x - t);
        squared += (x - t) ** 2;
        if (x > 0 === t >= 0.5) correct++;
      }
      count += last;
    },
    total: () => ({ count, loss: lossSum, absolute, squared, correct }),
  };
}
