import { setImmediate } from "node:timers/promises";
import { few } from "../format.js";
import { elementCount } from "../graph/graph.js";
import type { BatchTensor } from "./batch.js";
import type { DataColumn, Dataset } from "./dataset.js";
import { allowedIn, misfit } from "./numbers.js";
import { targetNames } from "./table.js";

/** A column of the data, and the tensor of a step that it fills. */
export interface Match {
  readonly column: DataColumn;
  readonly tensor: BatchTensor;
  /** Elements of one sample. */
  readonly elements: number;
}

/** Names that a column may have which is the one input of a model, beside the input's own. */
const inputNames: readonly string[] = ["input", "x", "image"];

/** Numbers read at a time to see whether they are in range. */
const numbersAtOnce = 2 ** 20;

/** Which column fills each tensor of a step. Throws one line where there is none for it, or none that fits. */
export function matchColumns(data: Dataset, batch: readonly BatchTensor[]): Match[] {
  const inputs = batch.filter(({ isTarget }) => !isTarget);
  const samples = (inputs[0] ?? batch[0])?.shape[0] ?? 1;
  const taken = new Set<DataColumn>();
  return [...batch]
    .sort((a, z) => Number(z.isTarget) - Number(a.isTarget))
    .map((tensor) => {
      const match = matchOf(data, tensor, { isOnly: inputs.length === 1, samples, taken });
      taken.add(match.column);
      return match;
    });
}

interface MatchOptions {
  /** The tensor is the model's only input. */
  readonly isOnly: boolean;
  /** Samples of the shape's dimension 0. */
  readonly samples: number;
  readonly taken: ReadonlySet<DataColumn>;
}

function matchOf(data: Dataset, tensor: BatchTensor, { isOnly, samples, taken }: MatchOptions): Match {
  const free = data.columns.filter((column) => !taken.has(column));
  const names = [tensor.name, ...(tensor.isTarget ? targetNames : isOnly ? inputNames : [])];
  const named = names.flatMap((name) => free.filter((column) => column.name === name));
  // what is left when the target has its column can only be the input
  const candidates = named.length > 0 || !isOnly || tensor.isTarget || free.length !== 1 ? named : free;
  const [first] = candidates;
  if (!first) throw noColumn(data, tensor, names);
  const shape = sampleShape(tensor, samples);
  const column = candidates.find((one) => fits(one, shape));
  if (!column) throw misshapen(data, first, tensor, shape);
  if (tensor.isTarget && data.classes && tensor.limit !== undefined && data.classes.length > tensor.limit)
    throw new Error(`${data.name} has ${data.classes.length} classes, the model's output ${tensor.limit}`);
  return { column, tensor, elements: elementCount(shape) };
}

function noColumn({ name, columns }: Dataset, tensor: BatchTensor, names: readonly string[]): Error {
  const what = tensor.isTarget ? "the target" : `input ${tensor.name}`;
  const there =
    columns.length > 0
      ? `there ${columns.length === 1 ? "is" : "are"} ${few(columns.map(({ name }) => name))}`
      : "there are none";
  const key = tensor.isTarget ? "target" : tensor.name;
  return new Error(
    `no column for ${what} in ${name}: none called ${[...new Set(names)].join(", ")}; ${there} (say which by columns: ${key}=NAME)`,
  );
}

/** The shape of one sample of a tensor; several rows of dimension 0 may belong to one, as tokens do to a text. */
function sampleShape({ name, shape }: BatchTensor, samples: number): readonly number[] {
  const [all = 0, ...rest] = shape;
  if (shape.length > 0 && all === samples) return rest;
  if (shape.length > 0 && all % samples === 0) return [all / samples, ...rest];
  throw new Error(
    `${name} [${shape}] has no dimension that counts the ${samples} samples of a batch: give it in batches of your own`,
  );
}

const withoutOnes = (shape: readonly number[]): string => shape.filter((length) => length !== 1).join();

/** Whether a column's samples are a tensor's: of the same shape, dimensions of 1 aside. */
const fits = ({ shape, isFlat }: DataColumn, wanted: readonly number[]): boolean =>
  withoutOnes(shape) === withoutOnes(wanted) || (isFlat === true && elementCount(shape) === elementCount(wanted));

function misshapen(data: Dataset, column: DataColumn, tensor: BatchTensor, shape: readonly number[]): Error {
  const { source, name, dtype } = column;
  const what = tensor.isTarget ? "the target" : `input ${tensor.name}`;
  return new Error(
    `shape mismatch: a sample of ${source ?? name} in ${data.name} is ${dtype}[${column.shape}], of ${what} ${tensor.dtype}[${shape}]`,
  );
}

/** Columns that were looked through, by dataset: what they were to be. */
const checked = new WeakMap<Dataset, Set<string>>();

/**
 * Looks through the columns whose numbers a tensor cannot all hold: class numbers, indices, whole numbers from floats. Throws
 * one line with file, column, sample and value for the first that is out of range. A dataset is looked through once.
 */
export async function checkNumbers(data: Dataset, matches: readonly Match[], signal?: AbortSignal): Promise<void> {
  const done = checked.get(data) ?? new Set();
  checked.set(data, done);
  for (const { column, tensor, elements } of matches) {
    const allowed = allowedIn(column.dtype, tensor);
    const key = JSON.stringify([column.name, allowed]);
    if (!allowed || done.has(key)) continue;
    const atOnce = Math.max(1, Math.floor(numbersAtOnce / Math.max(elements, 1)));
    for (let from = 0; from < data.count; from += atOnce) {
      await setImmediate(); // so that a signal comes through
      signal?.throwIfAborted();
      const indices = Int32Array.from({ length: Math.min(atOnce, data.count - from) }, (_, i) => from + i);
      const wrong = misfit(await data.read(column.name, indices), column.dtype, allowed);
      if (!wrong) continue;
      const index = from + Math.floor(wrong.at / elements);
      const place = data.at?.(index) ?? `sample ${index}, from 0`;
      const range =
        allowed.limit === undefined
          ? `${tensor.dtype} takes whole numbers`
          : `${tensor.isTarget ? "the model has classes" : `${tensor.name} takes`} 0 to ${allowed.most}${allowed.beside === undefined ? "" : `, ignore_index ${allowed.beside}`}`;
      throw new Error(
        `${wrong.value} in column ${column.source ?? column.name} of ${data.name} is out of range (${place}): ${range}`,
      );
    }
    done.add(key);
  }
}
