import { formatBytes } from "../format.js";
import { type Graph, tensorBytes, tensorOf } from "../graph/graph.js";
import { ownName } from "../graph/trials.js";
import { own } from "../own.js";
import { executedGraph } from "../plan/executed.js";
import { planGraph } from "../plan/planners/index.js";
import { parseNamed } from "../step/settings.js";
import { batchOf, commonBatch } from "./batch.js";
import { largest } from "./largest.js";
import { leastPlan, problemOf } from "./least.js";
import {
  growing,
  peakAtBatch,
  peakFrozen,
  peakInChunks,
  peakInMicro,
  peakWithState,
  type StepBytes,
  stateBytesOf,
  stepBytes,
  trainedOf,
} from "./lever-bytes.js";
import { commandOf } from "./option-forms.js";
import type { ModelOptions, OptionsOf } from "./options.js";
import { flagsOf, ownOptions } from "./own-options.js";
import { roomBytes } from "./room.js";
import { loadGraph, type Run } from "./run.js";

/** Something that would lower a run's peak, or where its plan is infeasible the least reachable one. */
export interface Lever {
  readonly kind: "plan" | "batch" | "accumulate" | "chunks" | "optimizer" | "freeze" | "precision";
  /** What to do, in a few words: `half the batch`. */
  readonly what: string;
  /** The options that do it, beside the run's own; on a command line: `--dim batch=4`. */
  readonly changed: Partial<OptionsOf<"profile">>;
  readonly flags: string;
  /** The whole command line; null where the model must be exported anew first. */
  readonly command: string | null;
  /** The peak that it comes to, and how much less that is, bytes: estimated; null where no estimate is good enough. */
  readonly peakBytes: number | null;
  readonly gainBytes: number | null;
  /** Time that it adds to the step, ms: estimated; negative for less; null where it is not known. */
  readonly addedMs: number | null;
  /** Whether the estimated peak is within the budget; null without a budget or an estimate. */
  readonly fits: boolean | null;
  /** What it changes beside the memory, or why there is no number; empty where nothing. */
  readonly note: string;
}

/** How levers are looked for. */
export interface LeverOptions {
  /** Levers that give less than this share of the peak are left out; default 0.01. */
  readonly leastShare?: number;
  /** Kinds that are not looked for: a plan of a large unplanned step takes seconds. */
  readonly without?: readonly Lever["kind"][];
}

/** A lever before it is judged: what it changes of the options, and the timeline's peak with it. */
interface Candidate extends Pick<Lever, "kind" | "what" | "note"> {
  readonly changed: Partial<ModelOptions>;
  readonly timelineBytes: number | null;
  readonly addedMs?: number;
  readonly needsExport?: true;
}

/** What levers are looked for in. */
interface Scene {
  readonly run: Run;
  readonly bytes: StepBytes;
  /** What levers are to lower: the planned step's peak, the least reachable one, or the unplanned step's. */
  readonly peakBytes: number;
  /** By the timeline. */
  readonly timelineBytes: number;
  /** What is not met yet: the budget, or where there is no plan and the step is too large for its device what that has. */
  readonly budgetBytes: number | null;
}

/** Slices of rows in which a loss is suggested. */
const chunks = 8;

/**
 * What would lower the peak of a run's step (the planned one, or where its plan is infeasible the least reachable peak),
 * a plan first, then the greatest gain; from run.json alone. All numbers are estimated: the storages of the step's graph get the
 * sizes that they would have, and the timeline's greatest sum is taken anew, with the plan's decisions as they are.
 *
 * Beside steps built anew (ResNet-50, ViT-B, GPT-2 and small models, in the CPU's and the GPU's form) the peak is off by
 * at most 5 % of it: optimizer 4, freezing 5 (activations that only the frozen parameter's gradient needs count as if they
 * stayed), batch 1, micro-batches 1, slices of the loss 3. Mixed precision has no number: estimates were off by up to
 * 25 %, for it takes between 24 % less and 20 % more than float32.
 */
export function levers(run: Run, { leastShare = 0.01, without = [] }: LeverOptions = {}): Lever[] {
  const scene = sceneOf(run);
  const isKnown = run.before.backend !== "tables";
  const candidates = isKnown
    ? [...batches(scene), ...optimizers(scene), ...inChunks(scene), ...frozen(scene), ...precisions(scene)]
    : [];
  const found = candidates.filter(({ kind }) => !without.includes(kind)).map((candidate) => leverOf(scene, candidate));
  return [
    ...(isKnown && !without.includes("plan") ? plans(scene) : []),
    ...found.sort((a, z) => (z.gainBytes ?? Number.NEGATIVE_INFINITY) - (a.gainBytes ?? Number.NEGATIVE_INFINITY)),
  ].filter(({ gainBytes }) => gainBytes === null || gainBytes >= leastShare * scene.peakBytes);
}

function sceneOf(run: Run): Scene {
  const graph = loadGraph(run.graph);
  const { plan, before } = run;
  if (!plan) {
    const bytes = stepBytes(graph);
    const budgetBytes = roomBytes(before);
    return { run, bytes, peakBytes: before.arenaBytes, timelineBytes: before.timeline.peakBytes, budgetBytes };
  }
  const peakBytes = plan.feasible ? plan.peakBytes : plan.minimumPeakBytes;
  const bytes = stepBytes(executedGraph(graph, leastPlan(run, plan)).graph);
  const timelineBytes = bytes.peakIf((storage) => storage.bytes);
  return { run, bytes, peakBytes, timelineBytes, budgetBytes: plan.feasible ? null : plan.budgetBytes };
}

function leverOf(scene: Scene, candidate: Candidate): Lever {
  const { kind, what, note, changed, timelineBytes, addedMs = null, needsExport } = candidate;
  const gainBytes = timelineBytes === null ? null : Math.round(scene.timelineBytes - timelineBytes);
  const peakBytes = gainBytes === null ? null : scene.peakBytes - gainBytes;
  const { model } = scene.run;
  const command = commandOf("profile", model.path, { ...ownOptions(scene.run), ...changed });
  return {
    kind,
    what,
    changed,
    flags: flagsOf(changed),
    command: needsExport ? null : command,
    peakBytes,
    gainBytes,
    addedMs,
    fits: scene.budgetBytes === null || peakBytes === null ? null : peakBytes <= scene.budgetBytes,
    note,
  };
}

/** A budget that is met: for an unplanned step what recomputing all comes to, or swapping all where copies are known. */
function plans({ run, bytes, budgetBytes }: Scene): Lever[] {
  const { plan, before, model } = run;
  if (plan && budgetBytes === null) return [];
  const graph = plan ? loadGraph(run.graph) : bytes.graph;
  // a step that does not fit was measured with everything swapped out
  const knowsCopies =
    before.activations.some(({ swapMeasured }) => swapMeasured) || before.estimated || before.offloaded !== undefined;
  const reached = plan
    ? { peakBytes: plan.minimumPeakBytes, planner: plan.minimumPlanner ?? plan.planner, addedMs: null }
    : ["recomputeAll", ...(knowsCopies ? ["swapAll"] : [])]
        .map((planner) => planGraph({ ...problemOf(before, graph, null), planner }))
        .reduce((least, one) => (one.peakBytes < least.peakBytes ? one : least));
  const { planner } = reached;
  // a step that does not fit needs no less than what fits
  const peakBytes = plan || budgetBytes === null ? reached.peakBytes : Math.max(reached.peakBytes, budgetBytes);
  const changed = { budget: `${peakBytes}B`, ...(plan && planner !== "best" ? { planner } : {}) };
  const { planner: _, ...options } = ownOptions(run);
  return [
    {
      kind: "plan",
      what: plan ? "a budget that is met" : "a plan for a budget",
      changed,
      flags: flagsOf(changed),
      command: commandOf("profile", model.path, { ...options, ...changed }),
      peakBytes,
      gainBytes: before.arenaBytes - peakBytes,
      addedMs: peakBytes === reached.peakBytes ? reached.addedMs : null,
      fits: budgetBytes === null ? null : peakBytes <= budgetBytes,
      note: plan
        ? `the least peak that is known to be reached, by ${planner}`
        : peakBytes === reached.peakBytes
          ? `at most: what ${planner} takes`
          : `${planner} would reach ${formatBytes(reached.peakBytes)}`,
    },
  ];
}

/** A smaller batch, and the same one in micro-batches. */
function batches(scene: Scene): Candidate[] {
  const { run, bytes } = scene;
  const { dims, accumulate = 1 } = run.model;
  const dim = batchOf(run.model);
  const batch = dim === undefined ? commonBatch(bytes.graph) : own(dims, dim);
  if (batch === undefined || batch < 2) return [];
  const grows = growing(bytes.graph, batch);
  const fits = (timelineBytes: number): boolean =>
    scene.budgetBytes === null || scene.peakBytes - scene.timelineBytes + timelineBytes <= scene.budgetBytes;
  const at = (size: number): number => peakAtBatch(bytes, grows, size / batch);
  // half of it where none fits
  const smaller = scene.budgetBytes === null ? 0 : largest((one) => one < batch && fits(at(one)), batch >> 1);
  const size = smaller || batch >> 1;
  const inMicro = (count: number): number => peakInMicro(bytes, grows, count);
  const counts = Array.from({ length: batch }, (_, i) => i + 1).filter((count) => count > 1 && batch % count === 0);
  const count = counts.find((one) => fits(inMicro(one))) ?? (counts[0] as number);
  const times = timesOf(run, batch, { graph: bytes.graph, grows });
  const dimsOf = (one: number) => ({ dims: { ...dims, [dim ?? "batch"]: one } });
  const needsExport = dim === undefined ? ({ needsExport: true } as const) : {};
  const first = needsExport.needsExport ? "; export the model with a symbolic batch first" : "";
  const hasStatistics = bytes.graph.state.some(({ before }) => tensorOf(bytes.graph, before).category === "buffer");
  const seen = hasStatistics ? `; batch norm sees ${batch / count} samples at a time` : "";
  return [
    {
      kind: "batch",
      what: `a batch of ${size} instead of ${batch}`,
      changed: dimsOf(size),
      timelineBytes: at(size),
      addedMs: -times.growing * (1 - size / batch),
      note: `for ${size} of ${batch} samples${first}`,
      ...needsExport,
    },
    {
      kind: "accumulate",
      what: `the same batch in ${count} micro-batches`,
      changed: { ...dimsOf(batch / count), accumulate: accumulate * count },
      timelineBytes: inMicro(count),
      addedMs: times.fixed * (count - 1),
      note: `time without what more and smaller kernels cost${seen}${first}`,
      ...needsExport,
    },
  ];
}

/** Time of the unplanned step's nodes before the update, ms: of those that make what grows with the batch, and of others. */
function timesOf(
  { graph: saved, before }: Run,
  batch: number,
  known: { readonly graph: Graph; readonly grows: ReadonlySet<string> },
): { growing: number; fixed: number } {
  const graph = loadGraph(saved);
  // without a plan the step that levers are looked for in is the unplanned one
  const grows = graph === known.graph ? known.grows : growing(graph, batch);
  const times = { growing: 0, fixed: 0 };
  graph.nodes.forEach(({ phase, inputs, outputs }, rank) => {
    if (phase === "update") return;
    const isGrowing = [...inputs, ...outputs].some((name) => grows.has(name));
    times[isGrowing ? "growing" : "fixed"] += before.nodes[rank]?.time.medianMs ?? 0;
  });
  return times;
}

/** Optimizers with less state. */
function optimizers({ run, bytes }: Scene): Candidate[] {
  if (stateBytesOf(bytes) === 0) return [];
  const note = "trains differently: its learning rate must be found anew";
  const lever = (what: string, optimizer: string, share: number): Candidate => ({
    kind: "optimizer",
    what,
    changed: { optimizer },
    timelineBytes: peakWithState(bytes, share),
    note,
  });
  const none = lever("an optimizer without state", "sgd:momentum=0", 0);
  const isAdam = parseNamed(run.model.optimizer).name !== "sgd";
  return isAdam ? [none, lever("an optimizer with one state instead of two", "sgd", 1 / 2)] : [none];
}

/** The loss in slices of rows. */
function inChunks({ run, bytes }: Scene): Candidate[] {
  const { loss } = run.model;
  const { name, settings } = parseNamed(loss);
  const isLastAxis = ["-1", undefined].includes(settings.get("axis"));
  if (name !== "ce" || settings.has("chunks") || !isLastAxis) return [];
  const timelineBytes = peakInChunks(bytes, chunks);
  if (timelineBytes === undefined) return [];
  const changed = { loss: `${loss}${loss.includes(":") ? "," : ":"}chunks=${chunks}` };
  const note = "the same sums in another order";
  return [{ kind: "chunks", what: `the loss in ${chunks} slices of rows`, changed, timelineBytes, note }];
}

/** The largest parameter left untrained. */
function frozen({ run, bytes }: Scene): Candidate[] {
  const [largest, ...others] = trainedOf(bytes);
  if (!largest || others.length === 0) return [];
  // what is frozen is frozen in every model, by the name that their file has for it
  if (run.together?.trials.some(({ path }) => path !== run.model.path)) return [];
  const { name } = largest;
  return [
    {
      kind: "freeze",
      what: `the largest parameter frozen, ${formatBytes(tensorBytes(largest))}`,
      changed: { freeze: [...(run.model.freeze ?? []), ownName(bytes.graph, name)] },
      timelineBytes: peakFrozen(bytes, name),
      note: "at least: its gradient and optimizer state; activations that only it needs come on top",
    },
  ];
}

/** Products in 16 bits. */
function precisions({ run, bytes }: Scene): Candidate[] {
  const isFloat32 = bytes.graph.nodes.some(
    (node) =>
      node.phase === "forward" && node.inputs.some((name) => bytes.graph.tensors.get(name)?.dtype === "float32"),
  );
  if (run.model.precision !== undefined || !isFloat32) return [];
  const note = "it lowers the peak of most large models and raises that of others; profile to see";
  return [
    { kind: "precision", what: "products in 16 bits", changed: { precision: "mixed" }, timelineBytes: null, note },
  ];
}
