import type { Batch, BatchTensor } from "../data/batch.js";
import type { TypedNumbers } from "../data/numbers.js";
import type { TensorType } from "../graph/graph.js";
import type { Value } from "../graph/values.js";
import type { OptionsOf } from "../run/options.js";
import type { Run } from "../run/run.js";
import type { Device } from "../runtime/runtime.js";
import type { TrainingOptions } from "../step/training.js";

/** What `openTrainer` takes: the options of `mutwo profile` that say what the step is and how it is planned, and these. */
export interface TrainerOptions extends TrainingOptions, OptionsOf<"trainer"> {
  /** A saved run, or the path of its folder or run.json: its plan is taken instead of making one. */
  readonly run?: string | Run;
  /** Ends measuring and planning. */
  readonly signal?: AbortSignal;
  /** Called when a stage of opening begins and after each measured step of it. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** A tensor that the model gives, by name. */
export interface OutputTensor extends TensorType {
  readonly name: string;
}

/** What the model gives for a batch: elements row by row; 16-bit floats are their bits. */
export interface Evaluated extends TensorType {
  readonly data: TypedNumbers;
}

/** What a step came to. */
export interface StepOutcome {
  /** The loss before the update; NaN or infinite where it is: that is told, not thrown. */
  readonly loss: number;
  /** Wall time of the step on the device, ms. */
  readonly stepMs: number;
}

/** How a trained model is written. */
export interface SaveOptions {
  /** Batch norms and dropouts are written in inference mode, whatever the file has them in; default false. */
  readonly inference?: boolean;
}

/** All that a training needs to go on: weights, running statistics, optimizer state, loss scale, as they are after a step. */
export interface TrainerState {
  /** Steps done since the file's weights. */
  readonly steps: number;
  readonly learningRate: number;
  /** By name: parameters and buffers as the model calls them, state of the optimizer as the step does. */
  readonly tensors: ReadonlyMap<string, Value>;
}

/**
 * A model that is being trained, step by step. Everything given to it is checked before anything is changed, and what is
 * wrong is said in one line; after `close` every method throws `the trainer is closed`. One step, or evaluation, at a time.
 */
export interface Trainer {
  /** Path of the model file. */
  readonly file: string;
  /** SHA-256 of the model file, in hexadecimal. */
  readonly modelSha256: string;
  readonly backend: "cpu" | "cuda";
  readonly device: Device;
  /** What `step` takes, shapes of whole steps: with accumulation dimension 0 has all micro-batches one after the other. */
  readonly batch: readonly BatchTensor[];
  /** Samples of one step: dimension 0 of the first input. */
  readonly batchSize: number;
  /** What `evaluate` gives, shapes of whole batches; the first is the one that the loss is of. */
  readonly outputs: readonly OutputTensor[];
  /** The measured and planned run, or the one that was given; null without a budget, planner or run: nothing was measured. */
  readonly run: Run | null;
  /** What the step's arena takes, bytes. */
  readonly allocatedBytes: number;
  /** What evaluating takes beside it, bytes; 0 until `evaluate` is called first. */
  readonly evaluationBytes: number;
  /** Steps done since the file's weights. */
  readonly steps: number;
  readonly learningRate: number;
  /** Bytes that this process holds on the device now, as the driver says; absent on the CPU. */
  processBytes?(): number;
  /**
   * Trains on one batch: forward, backward, update. Numbers are converted to the tensors' element types where they fit.
   * The signal is asked before the step begins; one that has begun is finished.
   *
   * Throws for missing and unknown names, wrong counts of elements, class numbers and indices out of range, and while
   * another call is running.
   */
  step(batch: Batch, options?: { readonly signal?: AbortSignal }): Promise<StepOutcome>;
  /**
   * Hands the next batch over while a step runs, so that it is on the device when `step` is called with the same object:
   * copied through pinned memory beside the kernels. Does nothing on the CPU. Throws what `step` throws for a batch.
   */
  prepare(batch: Batch): void;
  /** After a loss that is not finite: the first node of the last batch's step whose output is not, in words; null if there is none. */
  culprit(): Promise<string | null>;
  /**
   * What the model gives for a batch, by name: weights and running statistics as they are now, batch norm with running
   * statistics, dropout off. A target is not needed, and is left aside.
   */
  evaluate(batch: Batch): Promise<Readonly<Record<string, Evaluated>>>;
  /** Sets the learning rate of the steps from now on; nothing is built again. Throws for what is no number from 0 on. */
  setLearningRate(rate: number): void;
  /** A copy of all state. */
  state(): TrainerState;
  /**
   * Goes on from a state, or from a file of `saveState`. Names, element types and shapes are checked: throws one line, and
   * has changed nothing then.
   */
  load(from: string | TrainerState): void;
  /** Writes the state to a safetensors file, whole or not at all. Throws `cannot write FILE (CODE)`. */
  saveState(file: string): void;
  /**
   * Writes the model file with the weights and running statistics of now; everything else in it is as it was. Data that
   * lies in other files is written beside the new file. Whole or not at all; never over the model itself.
   *
   * A file that was exported in training mode stays in it, and another runtime then runs batch norm with the batch's
   * statistics: `inference: true` writes its batch norms and dropouts in inference mode, which gives what `evaluate` gives.
   */
  save(file: string, options?: SaveOptions): void;
  /** Gives all memory back. */
  close(): void;
}
