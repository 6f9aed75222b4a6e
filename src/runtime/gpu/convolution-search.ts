import { cacheFolder } from "../../cache.js";
import { count, exactly, list, object, oneOf, quantity, text, v } from "../../schema.js";
import type { Pointer } from "../ort-api.js";
import type { Gpu } from "./context.js";
import type { Cuda } from "./cuda.js";
import { type Cudnn, unlessRefused } from "./cudnn.js";
import { algorithmBy, algorithmsOf, type Convolution, type ConvolutionSpec, type Trial } from "./cudnn-convolutions.js";
import { heuristics } from "./cudnn-graph.js";
import { hasPlan, planBy, plansOf } from "./cudnn-plans.js";
import { keep, readKept } from "./kept.js";
import { briefMs } from "./measure.js";

/** Workspace with which convolutions are tried, bytes, if that much is free. */
const largestTrial = 2 ** 30;

/**
 * Workspace that a convolution may take beyond what lies idle in the arena at its node, bytes. The fast ones copy their
 * operands into another layout: with 32 MiB those of ResNet-50, batch 64, take two to seven times as long.
 */
export const smallWorkspace = 256 * 2 ** 20;

/** Algorithms of the legacy interface that are timed again beside plans: what cuDNN says of them is not comparable. */
const retimed = 2;

/** What is kept of a search from one process to the next. */
const keptSchema = list(
  object({
    workspaceBytes: count,
    ms: quantity,
    recipe: v.union([
      object({ by: exactly("algorithm"), number: count, math: count }),
      object({ by: exactly("plan"), heuristic: oneOf(heuristics), rank: count, engine: count, text: v.optional(text) }),
    ]),
  }),
);

type Kept = v.InferOutput<typeof keptSchema>;

const folder = (): string => cacheFolder("convolutions");

/** Of these convolutions, those that no other one beats in both time and workspace, fastest first. */
export function worthKeeping<Candidate extends Pick<Convolution, "ms" | "workspaceBytes">>(
  found: readonly Candidate[],
): Candidate[] {
  const kept: Candidate[] = [];
  for (const one of [...found].sort((p, q) => p.ms - q.ms || p.workspaceBytes - q.workspaceBytes))
    if (one.workspaceBytes < (kept.at(-1)?.workspaceBytes ?? Number.POSITIVE_INFINITY)) kept.push(one);
  return kept;
}

/** What a search depends on. */
const keyOf = ({ cuda, cudnn }: { cuda: Pick<Cuda, "name">; cudnn: Pick<Cudnn, "version"> }, spec: ConvolutionSpec) => [
  cuda.name,
  String(cudnn.version),
  JSON.stringify(spec),
];

/** What an earlier process found, made anew; nothing if it does not hold any more. */
function remembered(cudnn: Cudnn, spec: ConvolutionSpec, key: readonly string[], bytes: number): Convolution[] {
  const kept = readKept(folder(), key);
  const read = kept && v.safeParse(keptSchema, JSON.parse(Buffer.from(kept).toString()));
  if (!read?.success) return [];
  const made = read.output
    .filter(({ workspaceBytes }) => workspaceBytes <= bytes)
    .map((one) => againOf(cudnn, spec, one));
  const whole = made.filter((one) => one !== undefined);
  if (whole.length === made.length) return whole;
  for (const one of whole) one.destroy();
  return [];
}

function againOf(cudnn: Cudnn, spec: ConvolutionSpec, { recipe, ms, workspaceBytes }: Kept[number]) {
  if (recipe.by === "algorithm") return algorithmBy(cudnn, spec, { ...recipe, ms, bytes: workspaceBytes });
  const made = planBy(cudnn, spec, recipe, ms);
  if (!made || made.workspaceBytes === workspaceBytes) return made;
  made.destroy();
  return undefined;
}

/**
 * The ways to compute a convolution that are worth having, fastest first, tried on operands (in cuDNN's order; their
 * bytes may be anything, the output is overwritten): plans of cuDNN's graph interface, and algorithms of its legacy one
 * where there are no plans or where they are often slower (plain float32). They live as long as cuDNN is open. What was
 * found is kept for later processes. Throws `cuDNN: …` if there is no way.
 */
export function waysOf(
  gpu: Pick<Gpu, "cuda" | "cudnn" | "stream" | "workspace">,
  spec: ConvolutionSpec,
  operands: Readonly<Record<"a" | "b" | "out", Pointer>>,
): readonly Convolution[] {
  const { cuda, cudnn, workspace } = gpu;
  const bytes = Math.min(largestTrial, Math.max(workspace.availableBytes, Math.floor(cuda.freeBytes() / 2)));
  const key = keyOf(gpu, spec);
  const known = remembered(cudnn, spec, key, bytes);
  const ways = known.length ? known : searched(gpu, spec, operands, bytes);
  for (const way of ways) cudnn.atClose(() => way.destroy());
  if (!known.length && bytes === largestTrial) {
    const kept: Kept = ways.map(({ workspaceBytes, ms, recipe }) => ({ workspaceBytes, ms, recipe }));
    keep(folder(), key, Buffer.from(JSON.stringify(kept)));
  }
  return ways;
}

/** Whether there is a plan of cuDNN's graph interface for a convolution, as far as can be told without running any. */
export const isPlannable = (
  gpu: { readonly cuda: Pick<Cuda, "name">; readonly cudnn: Cudnn },
  spec: ConvolutionSpec,
): boolean => readKept(folder(), keyOf(gpu, spec)) !== undefined || hasPlan(gpu.cudnn, spec);

function searched(
  { cuda, cudnn, stream, workspace }: Pick<Gpu, "cuda" | "cudnn" | "stream" | "workspace">,
  spec: ConvolutionSpec,
  operands: Readonly<Record<"a" | "b" | "out", Pointer>>,
  bytes: number,
): readonly Convolution[] {
  const events: Pointer[] = [];
  const at = workspace.takeBriefly(bytes);
  const found: Convolution[] = [];
  try {
    events.push(cuda.event(true), cuda.event(true));
    const stage = { cuda, stream, events: events as [Pointer, Pointer] };
    const trial: Trial = { ...operands, workspace: at, bytes, time: (work, best) => briefMs(stage, work, best) };
    found.push(...plansOf(cudnn, spec, trial, smallWorkspace));
    if (!found.length || (spec.dtype === "float32" && !spec.tf32)) found.push(...algorithms(cudnn, spec, trial, found));
    const ways = worthKeeping(found);
    for (const one of found) if (!ways.includes(one)) one.destroy();
    return ways;
  } catch (error) {
    for (const one of found) one.destroy();
    throw error;
  } finally {
    for (const event of events) cuda.destroyEvent(event);
    workspace.giveBack(at);
  }
}

/** The legacy interface's algorithms; those that compete with plans are timed as these were. */
function algorithms(cudnn: Cudnn, spec: ConvolutionSpec, trial: Trial, plans: readonly Convolution[]): Convolution[] {
  const best = Math.min(...plans.map(({ ms }) => ms));
  const again = (one: Convolution): Convolution => ({
    ...one,
    ms: trial.time(() => one.run(trial.a, trial.b, trial.out, trial.workspace), best),
  });
  if (!plans.length) return [...algorithmsOf(cudnn, spec, trial)];
  return unlessRefused(() => algorithmsOf(cudnn, spec, trial).map((one, i) => (i < retimed ? again(one) : one))) ?? [];
}
