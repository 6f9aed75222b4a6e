import {
  elementCount,
  type Graph,
  isFloat,
  producers,
  type TensorType,
  tensorBytes,
  tensorOf,
} from "../graph/graph.js";
import { type Storage, type Storages, storages } from "../memory/storages.js";
import { opOf } from "../ops/index.js";
import { longer } from "../step/long-rows.js";

/** How large something is that lives from one rank to another. */
interface Life {
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
}

/** A step's memory, and what it would be if its storages had other sizes. */
export interface StepBytes {
  readonly graph: Graph;
  readonly all: readonly Storage[];
  readonly of: Storages["of"];
  /** The greatest sum of what lives at once, with other sizes where `bytesOf` says so, and with what lives beside. */
  readonly peakIf: (bytesOf: (storage: Storage) => number, beside?: readonly Life[]) => number;
}

/** The memory of a step by its timeline. */
export function stepBytes(graph: Graph): StepBytes {
  const { all, of } = storages(graph);
  const count = graph.nodes.length;
  return {
    graph,
    all,
    of,
    peakIf(bytesOf, beside = []) {
      const change = new Float64Array(count + 1);
      const add = ({ start, end, bytes }: Life): void => {
        const [from, to] = [Math.max(start, 0), Math.min(end, count - 1) + 1];
        change[from] = (change[from] as number) + bytes;
        change[to] = (change[to] as number) - bytes;
      };
      for (const storage of all) add({ start: storage.start, end: storage.end, bytes: bytesOf(storage) });
      for (const life of beside) add(life);
      let [live, peak] = [0, 0];
      for (const bytes of change) {
        live += bytes;
        if (live > peak) peak = live;
      }
      return peak;
    },
  };
}

const isFlatState = (graph: Graph, { name }: Pick<Storage, "name">): boolean => {
  const { category, shape } = tensorOf(graph, name);
  return category === "optimizer state" && shape.length > 0;
};

/** Bytes of a step's optimizer state, without its scalars. */
export const stateBytesOf = ({ graph, all }: StepBytes): number =>
  all.reduce((sum, storage) => sum + (isFlatState(graph, storage) ? storage.bytes : 0), 0);

/** The peak with that share of the optimizer's state; what its update computes on the way is left as it is. */
export const peakWithState = ({ graph, peakIf }: StepBytes, share: number): number =>
  peakIf((storage) => (isFlatState(graph, storage) ? storage.bytes * share : storage.bytes));

/** The trained parameters of a step, largest first. */
export const trainedOf = ({ graph }: StepBytes) =>
  [...graph.tensors.values()]
    .filter(({ category, within }) => category === "parameter" && within)
    .sort((a, z) => tensorBytes(z) - tensorBytes(a));

/** The peak without a parameter's gradient and its part of the optimizer's state. */
export function peakFrozen({ graph, peakIf }: StepBytes, parameter: string): number {
  const { within, dtype, shape } = tensorOf(graph, parameter);
  const whole = within && tensorOf(graph, within.tensor);
  const share = whole ? elementCount(shape) / elementCount(whole.shape) : 0;
  const isGradient = ({ name, within: place }: Storage): boolean => {
    if (place?.offsetBytes !== within?.offsetBytes || !place) return false;
    return tensorOf(graph, name).category === "gradient" && tensorOf(graph, place.tensor).dtype === dtype;
  };
  const isState = (storage: Storage): boolean =>
    isFlatState(graph, storage) && tensorOf(graph, storage.name).shape.join() === whole?.shape.join();
  return peakIf((storage) => {
    if (isState(storage)) return storage.bytes * (1 - share);
    return isGradient(storage) ? 0 : storage.bytes;
  });
}

/**
 * Which tensors grow with the batch: those made of the step's inputs whose number of elements is a multiple of it, but
 * for gradients of parameters and what is shaped like a parameter on the way to them.
 */
export function growing(graph: Graph, batch: number): ReadonlySet<string> {
  const parameters = [...graph.tensors.values()].filter(({ category }) => category === "parameter");
  // a matrix and its transpose are alike
  const sizesOf = (shape: readonly number[]): string => (shape.length < 2 ? shape : [...shape].sort()).join();
  const shapes = new Set(parameters.map(({ shape }) => sizesOf(shape)));
  const grows = new Set(graph.inputs.filter((name) => tensorOf(graph, name).shape.some((size) => size % batch === 0)));
  for (const { inputs, outputs, phase } of graph.nodes) {
    if (phase === "update" || !inputs.some((name) => grows.has(name))) continue;
    for (const name of outputs) {
      if (!name) continue;
      const { shape, within } = tensorOf(graph, name);
      if (within || elementCount(shape) % batch !== 0) continue;
      if (phase !== "backward" || !shapes.has(sizesOf(shape))) grows.add(name);
    }
  }
  return grows;
}

const growsIn = (grows: ReadonlySet<string>, { name }: Storage): boolean => grows.has(name);

/** The peak at that share of the batch. */
export const peakAtBatch = ({ peakIf }: StepBytes, grows: ReadonlySet<string>, share: number): number =>
  peakIf((storage) => (growsIn(grows, storage) ? storage.bytes * share : storage.bytes));

/**
 * The peak with the batch in so many micro-batches: inputs stay as they are, what else grows with the batch is divided,
 * gradients of parameters live from the first micro-batch to the update, and one of a later one beside its sum.
 */
export function peakInMicro({ graph, all, peakIf }: StepBytes, grows: ReadonlySet<string>, count: number): number {
  const parts = all.filter(({ name, within }) => within && tensorOf(graph, name).category === "gradient");
  const beside = parts.map(({ start, bytes }) => ({ start, end: start, bytes }));
  const places = new Map(parts.map((one) => [`${one.within?.tensor} ${one.within?.offsetBytes}`, one.bytes]));
  const sums = [...places.values()].reduce((sum, bytes) => sum + bytes, 0);
  const isPart = new Set(parts);
  const peak = peakIf((storage) => {
    if (isPart.has(storage)) return 0;
    return growsIn(grows, storage) && !storage.resident ? storage.bytes / count : storage.bytes;
  }, beside);
  return peak + sums;
}

/** Rows and classes of a cross-entropy's scores, by the labels' input; undefined if the step has none. */
export function scoresOf(
  graph: Pick<Graph, "inputs" | "tensors" | "name">,
): { rows: number; classes: number } | undefined {
  for (const name of graph.inputs) {
    const { dtype, shape, range } = tensorOf(graph, name);
    if (dtype === "int64" && range?.[0] === 0 && /^target(_\d+)?$/.test(name))
      return { rows: elementCount(shape), classes: range[1] };
  }
  return undefined;
}

/** Sizes of what has `count` numbers in rows of classes: on a GPU such rows may have been made longer. */
const sizesOf = (count: number, classes: number): readonly number[] => [count, (count / classes) * longer(classes)];

/** Whether a tensor is as large as a cross-entropy's scores. */
export const isAsScores = (
  { dtype, shape }: TensorType,
  { rows, classes }: { readonly rows: number; readonly classes: number },
): boolean => isFloat(dtype) && sizesOf(rows * classes, classes).includes(elementCount(shape));

/** The weights that the model's last product multiplies, from the node on that makes its output; undefined if there is none. */
function lastWeights(graph: Graph, from: number): string | undefined {
  const made = producers(graph);
  for (let rank: number | undefined = from; rank !== undefined; ) {
    const node = graph.nodes[rank] as Graph["nodes"][number];
    const [first = "", second] = node.inputs;
    if (opOf(node).product) return second;
    rank = made.get(first);
  }
  return undefined;
}

/**
 * The peak with a cross-entropy in so many slices of rows: scores and all that is as large and made after them comes in
 * slices, the last product's weights live to the last slice, their gradient lives from the first one on, and a slice's
 * own beside it while it is made. Undefined if the loss has fewer rows, or is none.
 */
export function peakInChunks({ graph, all, of, peakIf }: StepBytes, chunks: number): number | undefined {
  const scores = scoresOf(graph);
  if (!scores || scores.rows < chunks) return undefined;
  const isScores = (name: string): boolean => isAsScores(tensorOf(graph, name), scores);
  const first = graph.nodes.findLastIndex(
    ({ phase, outputs }) => phase === "forward" && outputs.some((name) => name && isScores(name)),
  );
  if (first < 0) return undefined;
  const cut = new Set(all.filter(({ start, name }) => start >= first && isScores(name)));
  const weights = lastWeights(graph, first);
  const held = weights === undefined ? undefined : of.get(weights)?.storage;
  const bytes = weights === undefined ? 0 : tensorBytes(tensorOf(graph, weights));
  const sizes = sizesOf(bytes, scores.classes);
  const made = all.find((one) => one.start > first && sizes.includes(one.bytes) && !cut.has(one))?.start ?? first;
  return peakIf(
    (storage) => (cut.has(storage) ? storage.bytes / chunks : storage.bytes),
    [
      { start: first, end: made - 1, bytes },
      { start: made, end: made, bytes },
      ...(held && held.end < made ? [{ start: held.end + 1, end: made, bytes }] : []),
    ],
  );
}
