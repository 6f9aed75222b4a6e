import type { Dataset } from "../data/dataset.js";
import type { Checkpoint } from "./checkpoint.js";
import type { EpochRow } from "./log.js";

/** Where checkpoints go and when. */
export interface CheckpointPlan {
  readonly folder: string;
  /** Steps from one to the next; null: none in the middle of an epoch. */
  readonly everySteps: number | null;
  readonly everyEpoch: boolean;
  /** So many of the newest stay. */
  readonly keep: number;
}

/** What is told after each step. */
export interface StepNews {
  /** Steps done, and those of the whole training. */
  readonly step: number;
  readonly steps: number;
  /** The epoch under way, from 1 on, and how many there are; null where only steps limit the training. */
  readonly epoch: number;
  readonly epochs: number | null;
  readonly loss: number;
  readonly learningRate: number;
  readonly stepMs: number;
  /** Over the last steps, with all that they waited for. */
  readonly samplesPerSecond: number;
  /** Of training and validating, as fast as until now. */
  readonly leftMs: number;
}

/** How a training goes; of `epochs` and `steps` one is needed. */
export interface FitOptions {
  /** Times through the data. */
  readonly epochs?: number;
  /** Steps at most. */
  readonly steps?: number;
  /** Learning rate over the steps, from the optimizer's own; default `constant` (src/step/schedule.ts). */
  readonly schedule?: string;
  /** Seed of the order of samples; each epoch has its own order. Default 0. */
  readonly seed?: number;
  /** What becomes of an epoch's last samples that fill no batch; default `drop`. */
  readonly last?: "drop" | "pad";
  /** Evaluated after each epoch. */
  readonly validate?: Dataset;
  /** The loss as the trainer has it, for the validation. */
  readonly loss?: string;
  /** Metrics of the validation data beside the loss. */
  readonly metrics?: readonly string[];
  /** What patience and the best state go by; default `loss`. */
  readonly monitor?: string;
  /** Epochs without an improvement after which it ends, with the best state in the trainer. */
  readonly patience?: number;
  /** Absent: nothing is written. */
  readonly checkpoints?: CheckpointPlan;
  /** Where it goes on from. */
  readonly resume?: Checkpoint;
  /** What decides the numbers beside these options, by name: a checkpoint with others is refused. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Ends the training after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Called after each step. */
  readonly onStep?: (news: StepNews) => void;
  /** Called with the row of each epoch that is done, its validation included. */
  readonly onEpoch?: (row: EpochRow) => void;
  /** Called while the validation data is evaluated. */
  readonly onValidation?: (done: number, total: number) => void;
  /** Called with each thing that a user should know, one line. */
  readonly onWarning?: (line: string) => void;
}
