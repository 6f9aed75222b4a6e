import { formatCount, formatMs } from "../format.js";
import { count, list, number, object, oneOf, quantity, record, type Same, text, v } from "../schema.js";
import { type MemoryCurve, newCurve, type StepCurve } from "./curve.js";

/** How one epoch went. */
export interface EpochRow {
  /** From 1 on. */
  readonly epoch: number;
  /** Steps done at its end, since the training began. */
  readonly step: number;
  /** Samples that it trained on. */
  readonly samples: number;
  /** Mean of its steps' losses; null where one was not finite. */
  readonly loss: number | null;
  /** Of its last step. */
  readonly learningRate: number;
  /** Wall time of its steps with all that they waited for, ms. */
  readonly trainMs: number;
  /** `loss` and the metrics of the validation data by name, null where not finite; null where nothing was validated. */
  readonly validation: Readonly<Record<string, number | null>> | null;
  readonly validationMs: number;
}

/** The best validation so far. */
export interface Best {
  readonly epoch: number;
  readonly step: number;
  readonly value: number;
}

/** Why a training ended. */
export const endReasons = ["finished", "steps", "patience", "interrupted", "not finite"] as const;

/** How a training ended. */
export interface End {
  readonly reason: (typeof endReasons)[number];
  /** The same for people: one sentence without a full stop. */
  readonly text: string;
}

/** One process's part of a training. */
export interface Stretch {
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** Steps done when it began. */
  readonly from: number;
}

/** All numbers of a training so far, and where in it one is: what `fit` gives, and what a checkpoint goes on from. */
export interface TrainingLog {
  /** Steps done. */
  steps: number;
  /** The epoch that is under way, from 0 on, and how many of its batches are done. */
  epoch: number;
  batch: number;
  /** Of the epoch under way: sum and number of its losses, samples, wall time. */
  partial: { lossSum: number; losses: number; samples: number; ms: number };
  /** Samples of a full step, and steps of an epoch. */
  batchSize: number;
  epochSteps: number;
  /** The whole training as it was asked for, steps. */
  totalSteps: number;
  /** Step by step: the loss, the learning rate, the step's time, and the time from one step to the next, ms. */
  curves: { loss: StepCurve; learningRate: StepCurve; stepMs: StepCurve; wallMs: StepCurve };
  memory: MemoryCurve;
  epochs: EpochRow[];
  /** What `best` goes by. */
  monitor: string;
  best: Best | null;
  stretches: Stretch[];
  /** What a user should know: one sentence each. */
  warnings: string[];
  /** null while it goes on. */
  end: End | null;
}

/** The log of a training that has not begun. */
export const newLog = (
  given: Pick<TrainingLog, "batchSize" | "epochSteps" | "totalSteps" | "monitor"> & {
    readonly memory: MemoryCurve["what"];
  },
): TrainingLog => ({
  steps: 0,
  epoch: 0,
  batch: 0,
  partial: newPartial(),
  batchSize: given.batchSize,
  epochSteps: given.epochSteps,
  totalSteps: given.totalSteps,
  curves: { loss: newCurve(), learningRate: newCurve(), stepMs: newCurve(), wallMs: newCurve() },
  memory: { what: given.memory, steps: [], bytes: [] },
  epochs: [],
  monitor: given.monitor,
  best: null,
  stretches: [],
  warnings: [],
  end: null,
});

export const newPartial = (): TrainingLog["partial"] => ({ lossSum: 0, losses: 0, samples: 0, ms: 0 });

/** Sum of a curve's values over all its steps. */
const sumOf = ({ values, stride, sum }: StepCurve): number => values.reduce((all, value) => all + value * stride, sum);

/** Over the whole training, with all that its steps waited for; validations are not counted. */
export const samplesPerSecond = ({ curves, batchSize }: Pick<TrainingLog, "curves" | "batchSize">): number => {
  const { values, stride, count: rest } = curves.wallMs;
  const ms = sumOf(curves.wallMs);
  return ms > 0 ? (1000 * batchSize * (values.length * stride + rest)) / ms : 0;
};

/** How a training went, in a few words: `3 epochs, 1,200 steps in 4.31 s`. */
export const inWords = ({ epochs, steps, curves }: TrainingLog): string =>
  `${formatCount(epochs.length)} ${epochs.length === 1 ? "epoch" : "epochs"}, ${formatCount(steps)} ${steps === 1 ? "step" : "steps"} in ${formatMs(sumOf(curves.wallMs))}`;

const curve = object({
  stride: v.pipe(count, v.minValue(1, "a whole number from 1 on")),
  values: list(number),
  sum: number,
  count,
});

/** What a TrainingLog is as JSON. */
export const logSchema = object({
  steps: count,
  epoch: count,
  batch: count,
  partial: object({ lossSum: number, losses: count, samples: count, ms: quantity }),
  batchSize: count,
  epochSteps: count,
  totalSteps: count,
  curves: object({ loss: curve, learningRate: curve, stepMs: curve, wallMs: curve }),
  memory: object({ what: oneOf(["resident", "device"]), steps: list(count), bytes: list(count) }),
  epochs: list(
    object({
      epoch: count,
      step: count,
      samples: count,
      loss: v.nullable(number),
      learningRate: quantity,
      trainMs: quantity,
      validation: v.nullable(record(v.nullable(number))),
      validationMs: quantity,
    }),
  ),
  monitor: text,
  best: v.nullable(object({ epoch: count, step: count, value: number })),
  stretches: list(object({ startedAt: text, from: count })),
  warnings: list(text),
  end: v.nullable(object({ reason: oneOf(endReasons), text })),
});

// the type and the schema say the same, or this does not compile
true satisfies Same<v.InferOutput<typeof logSchema>, TrainingLog>;
