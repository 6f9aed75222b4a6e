import { categories, phases } from "../graph/graph.js";
import { copy, device, memory } from "../runtime/runtime-schema.js";
import { count, exactly, flag, list, number, object, oneOf, quantity, record, type Same, text, v } from "../schema.js";
import { graphSchema } from "./graph-schema.js";
import { type Run, runFormatVersion, type Warning } from "./run.js";
import { arrangements } from "./together-options.js";
import { addedMs, togetherSchema, trialOptions } from "./together-schema.js";

/*
 * What stands in a run.json, field by field, one schema a type: that they say the same as the types is compiled (`Same`,
 * at the end). How the parts fit each other: run-checks.ts.
 */

const category = oneOf(categories);
const phase = oneOf(phases);
const names = list(text);
const shape = list(count);

const samples = object({ samplesMs: list(quantity), medianMs: quantity, meanMs: quantity, spreadMs: quantity });

const model = object({
  file: text,
  path: text,
  sha256: text,
  opset: count,
  producer: text,
  parameters: count,
  parameterBytes: count,
  notes: names,
  untrained: v.optional(list(object({ name: text, shape, reason: text }))),
  ...trialOptions,
  together: v.optional(names),
  copies: v.optional(count),
  vary: v.optional(names),
  arrange: v.optional(oneOf(arrangements)),
});

/** The machine and the versions that a record was made with. */
export const environmentSchema = object({
  mutwo: text,
  node: text,
  onnxruntime: text,
  os: text,
  cpu: text,
  cores: count,
  memoryBytes: count,
});

const nodeRow = object({
  rank: count,
  name: text,
  op: text,
  phase,
  time: samples,
  flops: quantity,
  inputBytes: count,
  outputBytes: count,
  liveBytes: count,
  activeBytes: count,
  workspaceBytes: v.nullable(count),
  lastForwardUses: names,
  firstBackwardUses: names,
});

const activationRow = object({
  name: text,
  producer: text,
  dtype: text,
  shape,
  memoryBytes: count,
  createdRank: count,
  firstForwardAccess: count,
  lastForwardAccess: count,
  firstBackwardAccess: count,
  lastBackwardAccess: count,
  inactiveMs: quantity,
  swapMs: quantity,
  swapMeasured: flag,
  recomputeSources: names,
  recomputeNodes: names,
  recomputeCount: count,
  recomputeMs: quantity,
  totalRecomputeMs: quantity,
  recomputeBytes: count,
  recomputeRatio: v.nullable(quantity),
  fixed: v.nullable(text),
  idleAtPeak: flag,
});

const bytesByRank = list(count);

const timeline = object({
  byCategory: object({
    input: bytesByRank,
    parameter: bytesByRank,
    buffer: bytesByRank,
    activation: bytesByRank,
    gradient: bytesByRank,
    "optimizer state": bytesByRank,
    temporary: bytesByRank,
    constant: bytesByRank,
  }),
  totalBytes: bytesByRank,
  peakBytes: count,
  peakRank: count,
  residentBytes: count,
});

const profile = object({
  backend: oneOf(["cpu", "cuda", "replay", "estimate", "tables"]),
  device,
  warmups: count,
  iterations: count,
  nodes: list(nodeRow),
  activations: list(activationRow),
  timeline,
  peakHolders: list(object({ name: text, category, bytes: count, producer: v.nullable(text) })),
  arenaBytes: count,
  allocatedBytes: count,
  workspaceBytes: v.nullable(count),
  step: samples,
  simulated: v.optional(exactly(true)),
  estimated: v.optional(exactly(true)),
  eagerStep: v.nullable(samples),
  memory: v.nullable(memory),
  copies: v.nullable(list(copy)),
  nodesMs: quantity,
  offloaded: v.optional(object({ allocatedBytes: count, step: samples })),
  losses: list(v.nullable(number)),
});

const decision = object({
  activation: text,
  action: oneOf(["keep", "recompute", "swap"]),
  held: v.optional(exactly(true)),
  swap: v.optional(object({ outDone: text, prefetch: text })),
  order: count,
  savedBytes: count,
  peakBytesAfter: count,
  // less than nothing where it gives copies of earlier decisions time to hide behind
  addedMs: number,
  recomputeRatio: v.nullable(quantity),
  inactiveMs: quantity,
  why: text,
});

const inShort = { planner: text, feasible: flag, peakBytes: count, addedMs };

const plan = object({
  ...inShort,
  variant: v.optional(oneOf(["printed", "mended"])),
  budgetBytes: v.nullable(count),
  decisions: list(decision),
  states: v.optional(
    list(
      object({
        state: text,
        sliced: v.optional(exactly(true)),
        prefetch: v.optional(text),
        outDone: v.optional(v.nullable(text)),
        bytes: count,
        swapMs: quantity,
        idleMs: quantity,
        why: text,
      }),
    ),
  ),
  kept: count,
  hostBytes: v.optional(count),
  timelinePeakBytes: count,
  printedPeakBytes: number,
  minimumPeakBytes: count,
  minimumPlanner: v.optional(text),
  obstacle: v.nullable(object({ node: text, holders: list(object({ name: text, bytes: count })) })),
  planningMs: quantity,
  bound: v.optional(object({ addedMs: quantity, proven: flag })),
  beside: v.optional(list(object({ ...inShort, recomputed: count, swapped: count }))),
  constraints: v.optional(
    object({
      keep: v.optional(names),
      swap: v.optional(flag),
      recompute: v.optional(flag),
      states: v.optional(flag),
      hostBytes: v.optional(count),
      maxAddedMs: v.optional(quantity),
    }),
  ),
  ring: v.optional(object({ members: names, stages: count, before: record(text) })),
});

const processPeak = object({ bytes: count, stage: oneOf(["profile", "execute plan", "compare"]) });

const equality = object({
  compared: count,
  different: names,
  bitwise: flag,
  worstRelativeError: v.nullable(quantity),
  runToRun: v.nullable(quantity),
  deterministic: v.optional(exactly(true)),
  unstable: v.optional(names),
});

const tradeoffPoint = object({
  planner: text,
  budgetBytes: v.nullable(count),
  peakBytes: count,
  hostBytes: count,
  addedMs,
  boundMs: v.optional(quantity),
  copiesSimulated: flag,
});

const warning = object({
  about: oneOf(["unplanned", "planned", "run"]),
  kind: v.optional(oneOf(["replayed", "estimated"])),
  text,
});

/** A run.json of format version 1; its warnings may be plain sentences, as they were once. */
export const runSchema = object({
  format: exactly("mutwo-run"),
  version: exactly(runFormatVersion),
  id: text,
  createdAt: v.pipe(
    text,
    v.check((time) => !Number.isNaN(Date.parse(time)), "a time (2026-01-31T12:00:00.000Z)"),
  ),
  command: text,
  model,
  environment: environmentSchema,
  seed: count,
  graph: graphSchema,
  before: profile,
  plan: v.nullable(plan),
  after: v.nullable(profile),
  equality: v.nullable(equality),
  paired: v.nullable(object({ unplanned: samples, planned: samples })),
  processPeak: v.optional(processPeak),
  together: v.optional(togetherSchema),
  tradeoff: v.optional(v.pipe(list(tradeoffPoint), v.minLength(1, "points of a trade-off"))),
  warnings: list(v.union([warning, text], "a warning: a sentence, and which step it is about")),
});

/** What a run.json holds. */
export type SavedRun = v.InferOutput<typeof runSchema>;

// the type and the schema say the same, or this does not compile
true satisfies Same<SavedRun, Omit<Run, "warnings"> & { readonly warnings: readonly (Warning | string)[] }>;
