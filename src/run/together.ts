import type { Refused, SimulatedPartition } from "../plan/multiplex/choose.js";
import type { ModelOptions } from "./options.js";
import type { arrangements } from "./together-options.js";

/** How several models are put into one step: each with its own nodes, those of one architecture as one, or by μ-TWO. */
export type Arrangement = Exclude<(typeof arrangements)[number], "best">;

/** The options that decide what one model's step is. */
export interface TrialOptions extends Omit<ModelOptions, "together" | "copies" | "vary" | "arrange"> {}

/** One of several models that were trained in one step. */
export interface TrialInfo extends TrialOptions {
  /** Before the names of its tensors and nodes in the run's graph: `m0`, `m1`, … */
  readonly name: string;
  /** Path of the model file as given. */
  readonly path: string;
  readonly sha256: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly seed: number;
  /** In what it differs from others, in words by name. */
  readonly varied: Readonly<Record<string, string>>;
}

/** Several models in one step, arranged in one way. */
export interface Arranged {
  readonly arrangement: Arrangement;
  /** Names of the models by what they are fused into; of one where it is alone. */
  readonly subArrays: readonly (readonly string[])[];
  /** How many of them run at the same time; 1: one after the other. */
  readonly lanes: number;
  /** The unplanned step's arena, bytes; null where no step could be made. */
  readonly peakBytes: number | null;
  /** The planned step's, within the budget; null without a plan that fits. */
  readonly plannedPeakBytes: number | null;
  /** The unplanned step's time, ms; null where it did not run. */
  readonly unplannedMs: number | null;
  /** What the plan adds to it as predicted, ms; null without a plan that fits. */
  readonly addedMs: number | null;
  /** The step's time as predicted before it ran, planned where there is a budget, ms; null where nothing predicts it. */
  readonly predictedMs: number | null;
  /** From what that was predicted, in words. */
  readonly basis?: string;
  /** The step's time, planned where there is a budget, ms; null where it did not run. */
  readonly measuredMs: number | null;
  /** The step that the run executed. */
  readonly executed?: true;
  /** Why it did not run, or what of it could not be had; absent if nothing is to be said. */
  readonly why?: string;
}

/** A way to cut the models into sub-arrays, multiplexed: what it comes to by simulation. */
export interface SimulatedRow extends Omit<SimulatedPartition, "subArrays"> {
  /** Models in each sub-array. */
  readonly sizes: readonly number[];
  /** It is the one that was taken. */
  readonly chosen?: true;
}

/** One that cannot be made or was not simulated, and why. */
export interface RefusedRow extends Refused {
  readonly sizes: readonly number[];
}

/** A way to cut the models into sub-arrays, simulated or refused. */
export type PartitionRow = SimulatedRow | RefusedRow;

/** How many models a memory holds. */
export interface FitCount {
  readonly limitBytes: number;
  /** As many as fit at once without a plan. */
  readonly unplanned: number;
  /** As many as fit with a plan, or one after the other in one step. */
  readonly planned: number;
  /** More may fit: a step of so many was not laid out. */
  readonly atLeast?: true | undefined;
  /** What these have on the host while others run, bytes; absent: nothing. */
  readonly hostBytes?: number | undefined;
}

/** Whether every model computed in the joint step what it computes alone. */
export interface SameAsAlone {
  /** Models that were compared: all, or of many some. */
  readonly models: readonly string[];
  /** Losses, gradients and next states that were compared. */
  readonly compared: number;
  /** Whether all of them are equal in every bit. */
  readonly bitwise: boolean;
  /** Greatest relative difference of one tensor, ‖joint − alone‖ / ‖alone‖; null where it is no finite number. */
  readonly worstRelativeError: number | null;
  /** The tensor of that difference. */
  readonly worst: string | null;
}

/** What a run knows of several models that were trained in one step. */
export interface Together {
  readonly trials: readonly TrialInfo[];
  /** Each model's own step, one process after the other: what all other times are compared with. */
  readonly alone: {
    /** The sum of the steps of all models, ms. */
    readonly stepMs: number;
    /** The largest arena of one of them, bytes. */
    readonly peakBytes: number;
    /** The times are estimated from a description of the device. */
    readonly estimated?: true;
    /** Steps that were measured; the others are of the same nodes. */
    readonly measured: number;
  };
  readonly arranged: readonly Arranged[];
  readonly executed: Arrangement;
  /** The partitions that were simulated to multiplex the models; absent where none was asked for. */
  readonly partitions?: readonly PartitionRow[];
  readonly fits: FitCount | null;
  readonly sameAsAlone: SameAsAlone | null;
  /** What was not fused, with the reason, and what makes another sub-array. */
  readonly notes: readonly string[];
}
