import { setImmediate } from "node:timers/promises";
import { formatCommand } from "../format.js";
import { elementCount } from "../graph/graph.js";
import { areNames } from "./arrays.js";
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
      const match = matchOf(data, tensor, { batch, isOnly: inputs.length === 1, samples, taken });
      taken.add(match.column);
      return match;
    });
}

interface MatchOptions {
  readonly batch: readonly BatchTensor[];
  /** The tensor is the model's only input. */
  readonly isOnly: boolean;
  /** Samples of the shape's dimension 0. */
  readonly samples: number;
  readonly taken: ReadonlySet<DataColumn>;
}

function matchOf(data: Dataset, tensor: BatchTensor, { batch, isOnly, samples, taken }: MatchOptions): Match {
  const free = data.columns.filter((column) => !taken.has(column));
  const names = [tensor.name, ...(tensor.isTarget ? targetNames : isOnly ? inputNames : [])];
  const named = names.flatMap((name) => free.filter((column) => column.name === name));
  // what is left when the target has its column can only be the input
  const candidates = named.length > 0 || !isOnly || tensor.isTarget || free.length !== 1 ? named : free;
  const [first] = candidates;
  if (!first) throw noColumn(data, tensor, names, batch);
  const shape = sampleShape(tensor, samples);
  const column = candidates.find((one) => fits(one, shape));
  if (!column) throw misshapen(data, first, tensor, shape);
  if (tensor.isTarget && data.classes && tensor.limit !== undefined && data.classes.length > tensor.limit)
    throw new Error(`${data.name} has ${data.classes.length} classes, the model's output ${tensor.limit}`);
  return { column, tensor, elements: elementCount(shape) };
}

function noColumn(data: Dataset, tensor: BatchTensor, names: readonly string[], batch: readonly BatchTensor[]): Error {
  const { name, columns, fields = columns.map(({ name, source }) => source ?? name) } = data;
  const what = tensor.isTarget ? "the target" : `input ${tensor.name}`;
  const none = `no column for ${what} in ${name}: none called ${[...new Set(names)].join(", ")}`;
  return new Error(`${none}; there ${areNames(fields)} (say which, as by ${choiceOf(data, fields, tensor, batch)})`);
}

const keyOf = ({ name, isTarget }: BatchTensor): string => (isTarget ? "target" : name);

/** The option that would choose the column. A table's last is most often the target, and all others are the input then. */
function choiceOf(
  { columns }: Dataset,
  fields: readonly string[],
  tensor: BatchTensor,
  batch: readonly BatchTensor[],
): string {
  const taken = new Set(columns.flatMap(({ name, source = name }) => source.split("+")));
  const last = fields.filter((field) => !taken.has(field)).at(-1) ?? fields.at(-1) ?? "";
  const isTable = columns.every(({ isFlat }) => isFlat) && fields.length > 1;
  const isChosen = tensor.isTarget && isTable && /^[\w. -]{1,60}$/.test(last);
  // what is not named of arrays is left out
  const choice = isChosen ? `target=${last}` : batch.map((one) => `${keyOf(one)}=NAME`).join();
  return formatCommand(["--columns", choice]);
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
