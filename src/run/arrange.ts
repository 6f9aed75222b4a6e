import { type Graph, type Tensor, tensorOf } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import type { Runtime } from "../runtime/runtime.js";
import { earlyUpdates } from "../step/early-updates.js";
import { type FusedMember, notFusable } from "../step/fusable.js";
import { type FusingOptions, fuseTrials } from "../step/fused-trials.js";
import { gradientsApart } from "../step/gradients-apart.js";
import { type Member, together } from "../step/together.js";
import type { BuiltTrial } from "./build-trials.js";
import type { Arrangement } from "./together.js";

/** Several models in one step. */
export interface JointStep {
  readonly arrangement: Arrangement;
  readonly graph: Graph;
  /** The steps that it is made of, one for each sub-array. */
  readonly members: readonly Member[];
  readonly subArrays: readonly (readonly string[])[];
  readonly lanes: number;
  /** What was not fused, with the reason, and what makes another sub-array. */
  readonly notes: readonly string[];
}

/** Models that are put together as one: a model's own step, or the fused one of several. */
export interface SubArray {
  readonly member: Member;
  readonly trials: readonly BuiltTrial[];
  /** What of it was not fused, with the reason. */
  readonly notes: readonly string[];
}

/** More lanes than this bring nothing: the device is full. */
const mostLanes = 8;

/** Numbers of lanes to try, from many to one; on a CPU nothing runs beside anything. */
function laneCounts(runtime: Runtime, count: number): number[] {
  const counts: number[] = [];
  if (runtime.fuses)
    for (let lanes = Math.min(count, mostLanes); lanes > 1; lanes = Math.floor(lanes / 2)) counts.push(lanes);
  return [...counts, 1];
}

/** The members in as many lanes as fit into some memory. */
function inLanes(runtime: Runtime, members: readonly Member[], limitBytes: number): { graph: Graph; lanes: number } {
  for (const lanes of laneCounts(runtime, members.length)) {
    const graph = together(runtime, members, lanes);
    if (lanes === 1 || layout(graph).arenaBytes <= limitBytes) return { graph, lanes };
  }
  throw new Error("no models to train together");
}

/** Each model with its own nodes, one after the other: what takes the least memory. */
export function inTurn(runtime: Runtime, trials: readonly BuiltTrial[]): JointStep {
  const members = trials.map(ownMember);
  const subArrays = members.map(({ name }) => [name]);
  const graph = together(runtime, members);
  return { arrangement: "side-by-side", members, subArrays, notes: [], graph, lanes: 1 };
}

/** Whether the models follow one another in a step, each with its own nodes. */
export const isInTurn = ({ arrangement, lanes }: Pick<JointStep, "arrangement" | "lanes">): boolean =>
  arrangement === "side-by-side" && lanes === 1;

const ownMember = ({ spec, baseline }: BuiltTrial): Member => ({ name: spec.name, graph: baseline });

/** Each model with its own nodes: in as many lanes as fit into some memory, on a CPU in one. */
export function sideBySide(runtime: Runtime, trials: readonly BuiltTrial[], limitBytes: number): JointStep {
  const members = trials.map(ownMember);
  const subArrays = members.map(({ name }) => [name]);
  return { arrangement: "side-by-side", members, subArrays, notes: [], ...inLanes(runtime, members, limitBytes) };
}

/**
 * Few models side by side, the gradients of each one's parameters and its update in a lane of their own: what follows one
 * another in a model is then less. null where it does not fit, or where so many lanes bring nothing.
 */
export function gradientsBeside(runtime: Runtime, trials: readonly BuiltTrial[], limitBytes: number): JointStep | null {
  if (!runtime.fuses || 2 * trials.length > mostLanes) return null;
  const members = trials.map(ownMember).map(
    ({ name, graph }): Member => ({
      name,
      graph: earlyUpdates(gradientsApart(graph, 1), 1),
    }),
  );
  const graph = together(runtime, members, members.length);
  if (layout(graph).arenaBytes > limitBytes) return null;
  const subArrays = members.map(({ name }) => [name]);
  return { arrangement: "side-by-side", members, subArrays, notes: [], graph, lanes: 2 * members.length };
}

/** Models that can be fused into one. */
export interface Fusable {
  readonly trials: readonly BuiltTrial[];
  /** Why they cannot be fused with those before them. */
  readonly why: string | undefined;
}

const fusedMember = ({ spec, bound, rates }: BuiltTrial): FusedMember => ({
  name: spec.name,
  graph: bound.graph,
  options: { ...spec.options, rates },
  seed: spec.seed,
});

/** Parts of some models, of at most so many, as even as can be. */
function evenParts<T>(all: readonly T[], most: number): T[][] {
  const count = Math.ceil(all.length / most);
  return Array.from({ length: count }, (_, i) =>
    all.slice(Math.round((i * all.length) / count), Math.round(((i + 1) * all.length) / count)),
  );
}

/**
 * How many models of one architecture are fused into one: all of them; where lanes run beside each other also a half and a
 * quarter, which are faster for large work.
 */
export function fusedSizes(runtime: Runtime, trials: readonly BuiltTrial[]): number[] {
  const most = Math.max(...fusables(runtime, trials).map((array) => array.trials.length));
  const sizes = runtime.fuses ? [most, Math.ceil(most / 2), Math.ceil(most / 4)] : [most];
  return [...new Set(sizes)].filter((size) => size > 1);
}

/** How models are fused. */
export interface FusedOptions {
  /** How many are one at most; default: all. */
  readonly most?: number;
  /** Nodes that stay side by side; default: none. */
  readonly apart?: ReadonlySet<string>;
  /** Gradients of parameters, and updates, run beside the backward phase. */
  readonly beside?: true;
}

/**
 * Models of one architecture as one with a model axis; null where nothing can be fused, or nothing that is asked for
 * fits. What cannot be fused stands in the notes, with the reason.
 */
export function fused(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  limitBytes: number,
  { most = trials.length, apart = new Set(), beside }: FusedOptions = {},
): JointStep | null {
  const parts = fusables(runtime, trials).flatMap(({ trials: all, why }) =>
    evenParts(all, most).map((part, i): Fusable => ({ trials: part, why: i ? undefined : why })),
  );
  if (parts.every((part) => part.trials.length === 1)) return null;
  const fusing = { apart, ...(beside && { besideFrom }) };
  const arrays = parts.map((part, i) => subArrayOf(runtime, part.trials, `f${i}`, fusing));
  const members = arrays.map(({ member }) => member);
  if (beside && !members.some(({ graph }) => graph.nodes.some(({ lane }) => lane))) return null;
  const { graph, lanes } = inLanes(runtime, members, limitBytes);
  if (beside && layout(graph).arenaBytes > limitBytes) return null;
  const notes = parts.flatMap((part, i) => [
    ...(part.why === undefined ? [] : [`${part.trials[0]?.spec.name} begins another sub-array: ${part.why}`]),
    ...(arrays[i]?.notes ?? []),
  ]);
  const all = beside ? new Set(graph.nodes.map(({ lane = 0 }) => lane)).size : lanes;
  return { arrangement: "fused", members, subArrays: namesOf(arrays), notes, graph, lanes: all };
}

/** Names of the models of sub-arrays. */
export const namesOf = (arrays: readonly Pick<SubArray, "trials">[]): string[][] =>
  arrays.map(({ trials }) => trials.map(({ spec }) => spec.name));

/** Some models of one architecture as one, under that name; one alone goes by its own. */
export function subArrayOf(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  name: string,
  fusing: FusingOptions = {},
): SubArray {
  const [first] = trials as [BuiltTrial];
  if (trials.length === 1) return { member: { name: first.spec.name, graph: first.baseline }, trials, notes: [] };
  const { baseline: graph, sideBySide } = fuseTrials(runtime, trials.map(fusedMember), fusing);
  const apart = new Map(sideBySide.map(({ op, why }) => [op, why]));
  const notes = [...apart].map(
    ([op, why]) => `not fused in ${name}: ${sideBySide.filter((one) => one.op === op).length} ${op} (${why})`,
  );
  return { member: { name, graph }, trials, notes };
}

/** Bytes of parameters whose gradients and updates take a time to speak of. */
const besideFrom = 64 * 2 ** 20;

/** The models by what they can be fused into, in the order of each one's first. */
export function fusables(runtime: Runtime, trials: readonly BuiltTrial[]): readonly Fusable[] {
  const arrays: { readonly trials: BuiltTrial[]; readonly why: string | undefined }[] = [];
  const known = new Map<string, (typeof arrays)[number]>();
  for (const trial of trials) {
    const { file, options } = trial.spec;
    const kind = JSON.stringify([file, options]);
    let array = known.get(kind);
    let why: string | undefined;
    for (const other of array ? [] : arrays) {
      const [first] = other.trials as [BuiltTrial];
      why = notFusable(runtime, [first, trial].map(fusedMember)) ?? otherNames(first, trial);
      if (why === undefined) array = other;
      if (array) break;
    }
    if (array) array.trials.push(trial);
    else {
      array = { trials: [trial], why };
      arrays.push(array);
    }
    known.set(kind, array);
  }
  return arrays;
}

/** Where two models of one architecture call a tensor otherwise, in words: a fused step has the names of the first. */
function otherNames(first: BuiltTrial, other: BuiltTrial): string | undefined {
  const held = ({ step }: BuiltTrial): Tensor[] =>
    [...step.tensors.values()].filter(
      ({ category }) => category === "parameter" || category === "buffer" || category === "input",
    );
  const known = new Set(held(first).map(({ name }) => name));
  const foreign = held(other).find(({ name }) => !known.has(name));
  return (
    foreign &&
    `${other.spec.name} has ${tensorOf(other.step, foreign.name).name}, which ${first.spec.name} calls otherwise`
  );
}
