import { type Graph, type Tensor, tensorOf } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import type { Runtime } from "../runtime/runtime.js";
import { type FusedMember, fuseTrials, notFusable } from "../step/fused-trials.js";
import { type Member, together } from "../step/together.js";
import type { BuiltTrial } from "./build-trials.js";
import type { Arrangement } from "./together.js";

/** Several models in one step. */
export interface JointStep {
  readonly arrangement: Arrangement;
  readonly graph: Graph;
  readonly subArrays: readonly (readonly string[])[];
  readonly lanes: number;
  /** What was not fused, with the reason, and what makes another sub-array. */
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

/** Each model with its own nodes: in as many lanes as fit into some memory, on a CPU in one. */
export function sideBySide(runtime: Runtime, trials: readonly BuiltTrial[], limitBytes: number): JointStep {
  const members = trials.map(({ spec, baseline }) => ({ name: spec.name, graph: baseline }));
  const subArrays = members.map(({ name }) => [name]);
  return { arrangement: "side-by-side", subArrays, notes: [], ...inLanes(runtime, members, limitBytes) };
}

/** Models in one step as they were arranged before: those of each sub-array fused, in so many lanes. */
export function jointGraph(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  subArrays: readonly (readonly string[])[],
  lanes: number,
): Graph {
  const members = subArrays.map((names, i): Member => {
    const array = trials.filter(({ spec }) => names.includes(spec.name));
    const [first] = array;
    if (first && array.length === 1) return { name: first.spec.name, graph: first.baseline };
    return { name: `f${i}`, graph: fuseTrials(runtime, array.map(fusedMember)).baseline };
  });
  return together(runtime, members, lanes);
}

/** Models that are fused into one, and why those that come after it are not. */
interface SubArray {
  readonly trials: BuiltTrial[];
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
  const most = Math.max(...subArraysOf(runtime, trials).map((array) => array.trials.length));
  const sizes = runtime.fuses ? [most, Math.ceil(most / 2), Math.ceil(most / 4)] : [most];
  return [...new Set(sizes)].filter((size) => size > 1);
}

/**
 * Models of one architecture as one with a model axis, at most so many; null where nothing can be fused. What cannot be
 * stands in the notes, with the reason.
 */
export function fused(
  runtime: Runtime,
  trials: readonly BuiltTrial[],
  limitBytes: number,
  most = trials.length,
): JointStep | null {
  const arrays = subArraysOf(runtime, trials).flatMap(({ trials: all, why }) =>
    evenParts(all, most).map((part, i): SubArray => ({ trials: part, why: i ? undefined : why })),
  );
  if (arrays.every(({ trials }) => trials.length === 1)) return null;
  const notes: string[] = [];
  const members = arrays.map(({ trials, why }, i): Member => {
    const [first] = trials as [BuiltTrial];
    if (why !== undefined) notes.push(`${first.spec.name} begins another sub-array: ${why}`);
    if (trials.length === 1) return { name: first.spec.name, graph: first.baseline };
    const { baseline, sideBySide } = fuseTrials(runtime, trials.map(fusedMember));
    const apart = new Map(sideBySide.map(({ op, why: reason }) => [op, reason]));
    for (const [op, reason] of apart)
      notes.push(`not fused in f${i}: ${sideBySide.filter((one) => one.op === op).length} ${op} (${reason})`);
    return { name: `f${i}`, graph: baseline };
  });
  const subArrays = arrays.map(({ trials }) => trials.map(({ spec }) => spec.name));
  return { arrangement: "fused", subArrays, notes, ...inLanes(runtime, members, limitBytes) };
}

/** The models by what they can be fused into, in the order of each one's first. */
function subArraysOf(runtime: Runtime, trials: readonly BuiltTrial[]): readonly SubArray[] {
  const arrays: SubArray[] = [];
  const known = new Map<string, SubArray>();
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
