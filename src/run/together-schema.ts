import { count, exactly, flag, list, number, object, oneOf, quantity, record, text, v } from "../schema.js";

/* What stands of several models in a run.json: see run-schema.ts. */

const names = list(text);

/** The options that decide what one model's step is. */
export const trialOptions = {
  loss: text,
  optimizer: text,
  dims: record(count),
  accumulate: v.optional(count),
  clipNorm: v.optional(quantity),
  freeze: v.optional(names),
  precision: v.optional(text),
  batchNorm: v.optional(oneOf(["training", "inference"])),
};

const arrangement = oneOf(["side-by-side", "fused", "multiplexed"]);

// a sum of times less another one may fall short of 0 by what float64 rounds
export const addedMs = v.pipe(number, v.minValue(-1e-6, "a number from 0 on"));

const simulated = object({
  sizes: list(count),
  feasible: flag,
  stepMs: quantity,
  addedMs,
  peakBytes: count,
  unplannedBytes: count,
  hostBytes: count,
  lag: quantity,
  planner: v.nullable(text),
  recomputed: count,
  swapped: count,
  chosen: v.optional(exactly(true)),
});

/** `Together` of a run.json. */
export const togetherSchema = object({
  trials: v.pipe(
    list(object({ name: text, path: text, sha256: text, ...trialOptions, seed: count, varied: record(text) })),
    v.minLength(1, "models"),
  ),
  alone: object({ stepMs: quantity, peakBytes: count, estimated: v.optional(exactly(true)), measured: count }),
  arranged: list(
    object({
      arrangement,
      subArrays: list(names),
      lanes: count,
      peakBytes: v.nullable(count),
      plannedPeakBytes: v.nullable(count),
      unplannedMs: v.nullable(quantity),
      addedMs: v.nullable(addedMs),
      predictedMs: v.nullable(quantity),
      basis: v.optional(text),
      measuredMs: v.nullable(quantity),
      executed: v.optional(exactly(true)),
      why: v.optional(text),
    }),
  ),
  executed: arrangement,
  partitions: v.optional(list(v.union([simulated, object({ sizes: list(count), refused: text })], "a partition"))),
  fits: v.nullable(
    object({
      limitBytes: count,
      unplanned: count,
      planned: count,
      atLeast: v.optional(exactly(true)),
      hostBytes: v.optional(count),
    }),
  ),
  sameAsAlone: v.nullable(
    object({
      models: names,
      compared: count,
      bitwise: flag,
      worstRelativeError: v.nullable(quantity),
      worst: v.nullable(text),
    }),
  ),
  notes: names,
});
