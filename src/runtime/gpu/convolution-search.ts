import { cacheFolder } from "../../cache.js";
import { count, exactly, list, object, oneOf, quantity, text, v } from "../../schema.js";
import type { Pointer } from "../ort-api.js";
import type { Gpu } from "./context.js";
import type { Cuda } from "./cuda.js";
import { type Cudnn, unlessRefused } from "./cudnn.js";
import {
  algorithmBy,
  algorithmsOf,
  type Convolution,
  type ConvolutionSpec,
  type KeptWay,
  type Trial,
} from "./cudnn-convolutions.js";
import { heuristics } from "./cudnn-graph.js";
import { hasPlan, planBy, plansOf } from "./cudnn-plans.js";
import { kernelBy, kernelNames, kernelSources, kernelsOf } from "./grouped-convolution.js";
import { keep, readKept } from "./kept.js";
import { LaneStreams } from "./lane-streams.js";
import { besideMs, briefMs } from "./measure.js";
import { Releases } from "./releases.js";
import type { KernelSource } from "./source/kernel.js";

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
      object({ by: exactly("kernel"), number: count }),
      object({ by: exactly("algorithm"), number: count, math: count }),
      object({ by: exactly("plan"), heuristic: oneOf(heuristics), rank: count, engine: count, text: v.optional(text) }),
    ]),
  }),
);

/** What convolutions are tried with. */
type Searched = Pick<Gpu, "cuda" | "cudnn" | "stream" | "workspace" | "compiler" | "attends">;

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
const keyOf = (
  { cuda, cudnn }: { cuda: Pick<Cuda, "name">; cudnn: Pick<Cudnn, "version"> },
  spec: ConvolutionSpec,
  kernels: readonly string[] = [],
): string[] => [cuda.name, String(cudnn.version), JSON.stringify(spec), ...kernels];

/** What an earlier process found. */
function remembered(key: readonly string[]): readonly KeptWay[] | undefined {
  const kept = readKept(folder(), key);
  const read = kept && v.safeParse(keptSchema, JSON.parse(Buffer.from(kept).toString()));
  return read?.success ? read.output : undefined;
}

/** What was found before, made anew; nothing if it does not hold any more. */
function madeAgain(gpu: Searched, spec: ConvolutionSpec, found: readonly KeptWay[], bytes: number): Convolution[] {
  const made = found.filter(({ workspaceBytes }) => workspaceBytes <= bytes).map((one) => againOf(gpu, spec, one));
  const whole = made.filter((one) => one !== undefined);
  if (whole.length === made.length) return whole;
  for (const one of whole) one.destroy();
  return [];
}

function againOf(gpu: Searched, spec: ConvolutionSpec, { recipe, ms, workspaceBytes }: KeptWay) {
  const { cudnn } = gpu;
  if (recipe.by === "algorithm") return algorithmBy(cudnn, spec, { ...recipe, ms, bytes: workspaceBytes });
  const made = recipe.by === "kernel" ? kernelBy(gpu, spec, recipe, ms) : planBy(cudnn, spec, recipe, ms);
  if (!made || made.workspaceBytes === workspaceBytes) return made;
  made.destroy();
  return undefined;
}

/**
 * The ways to compute a convolution that are worth having, fastest first, tried on operands (in cuDNN's order; their
 * bytes may be anything, the output is overwritten): plans of cuDNN's graph interface, kernels of ours for those in
 * groups, and algorithms of cuDNN's legacy interface where there are no plans or where they are often slower (plain float32). They live as long as cuDNN is open. What was
 * found is kept for other lanes, and for later processes. Throws `cuDNN: …` if there is no way.
 */
export function waysOf(
  gpu: Searched & Pick<Gpu, "found">,
  spec: ConvolutionSpec,
  operands: Readonly<Record<"a" | "b" | "out", Pointer>>,
): readonly Convolution[] {
  const { cuda, cudnn, workspace, found } = gpu;
  const bytes = Math.min(largestTrial, Math.max(workspace.availableBytes, Math.floor(cuda.freeBytes() / 2)));
  const key = keyOf(gpu, spec, kernelNames(gpu, spec));
  const before = found.get(key.join()) ?? remembered(key);
  const known = before ? madeAgain(gpu, spec, before, bytes) : [];
  const ways = known.length ? known : searched(gpu, spec, operands, bytes);
  for (const way of ways) cudnn.atClose(() => way.destroy());
  const kept: readonly KeptWay[] = ways.map(({ workspaceBytes, ms, recipe }) => ({ workspaceBytes, ms, recipe }));
  found.set(key.join(), kept);
  if (!known.length && bytes === largestTrial) keep(folder(), key, Buffer.from(JSON.stringify(kept)));
  return ways;
}

/** Kernels of ours that `waysOf` needs for a convolution: those it will try, or the ones that were found to be worth having. */
export function kernelsFor(gpu: Searched & Pick<Gpu, "found">, spec: ConvolutionSpec): readonly KernelSource[] {
  const all = kernelSources(gpu, spec);
  if (!all.length) return [];
  const key = keyOf(gpu, spec, kernelNames(gpu, spec));
  const before = gpu.found.get(key.join()) ?? remembered(key);
  const numbers = before?.flatMap(({ recipe }) => (recipe.by === "kernel" ? [recipe.number] : []));
  return all.filter((_, number) => numbers?.includes(number) ?? true).flat();
}

/** Whether there is a plan of cuDNN's graph interface for a convolution, as far as can be told without running any. */
export const isPlannable = (
  gpu: { readonly cuda: Pick<Cuda, "name">; readonly cudnn: Cudnn },
  spec: ConvolutionSpec,
): boolean => readKept(folder(), keyOf(gpu, spec)) !== undefined || hasPlan(gpu.cudnn, spec);

function searched(
  gpu: Searched,
  spec: ConvolutionSpec,
  operands: Readonly<Record<"a" | "b" | "out", Pointer>>,
  bytes: number,
): readonly Convolution[] {
  const { cudnn, workspace } = gpu;
  const releases = new Releases();
  const at = workspace.takeBriefly(bytes);
  const found: Convolution[] = [];
  try {
    const place = { ...operands, workspace: at, bytes };
    const trial: Trial = { ...place, time: timerOf(gpu, place, spec.beside ?? 1, releases) };
    found.push(...plansOf(cudnn, spec, trial, smallWorkspace));
    found.push(...kernelsOf(gpu, spec, trial, Math.min(...found.map(({ ms }) => ms))));
    if (!found.length || (spec.dtype === "float32" && !spec.tf32)) found.push(...algorithms(cudnn, spec, trial, found));
    const ways = worthKeeping(found);
    for (const one of found) if (!ways.includes(one)) one.destroy();
    return ways;
  } catch (error) {
    for (const one of found) one.destroy();
    throw error;
  } finally {
    releases.close();
    workspace.giveBack(at);
  }
}

/** What times convolutions on these operands, so many of them side by side where the workspace holds what they take. */
function timerOf(
  { cuda, cudnn, stream }: Pick<Gpu, "cuda" | "cudnn" | "stream">,
  { a, b, out, workspace, bytes }: Omit<Trial, "time">,
  beside: number,
  releases: Releases,
): Trial["time"] {
  const events = [cuda.event(true), cuda.event(true)] as const;
  releases.add(() => events.forEach((event) => void cuda.destroyEvent(event)));
  const stage = { cuda, stream, events };
  const all = [stream];
  while (all.length < beside) {
    const made = cuda.stream();
    releases.add(() => cuda.destroyStream(made));
    all.push(made);
  }
  const streams = new LaneStreams(cuda, all, releases);
  return (one, best) => {
    const own = Math.ceil(one.workspaceBytes / 256) * 256;
    const count = own ? Math.min(beside, Math.floor(bytes / own)) : beside;
    if (count < 2) return briefMs(stage, () => one.run(a, b, out, workspace), best);
    const launches = all
      .slice(0, count)
      .map((in_, i) => () => cudnn.inStream(in_, () => one.run(a, b, out, workspace + BigInt(i * own))));
    return besideMs(stage, streams, launches);
  };
}

/** The legacy interface's algorithms; those that compete with plans are timed as these were. */
function algorithms(cudnn: Cudnn, spec: ConvolutionSpec, trial: Trial, plans: readonly Convolution[]): Convolution[] {
  const best = Math.min(...plans.map(({ ms }) => ms));
  const again = (one: Convolution): Convolution => ({
    ...one,
    ms: trial.time(one, best),
  });
  if (!plans.length) return [...algorithmsOf(cudnn, spec, trial)];
  return unlessRefused(() => algorithmsOf(cudnn, spec, trial).map((one, i) => (i < retimed ? again(one) : one))) ?? [];
}
