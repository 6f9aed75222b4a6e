import { setImmediate } from "node:timers/promises";
import { isFloat } from "../graph/graph.js";
import type { BatchTensor, LoadedBatch, Numbers } from "./batch.js";
import type { Dataset } from "./dataset.js";
import { checkNumbers, type Match, matchColumns } from "./match.js";
import { putNumbers, type TypedNumbers, typedZeros } from "./numbers.js";
import { epochOrder } from "./order.js";

/** How samples become batches. */
export interface BatchesOptions {
  /** What a step takes: `trainer.batch`. */
  readonly batch: readonly BatchTensor[];
  /** Samples of a batch: `trainer.batchSize`. */
  readonly batchSize: number;
  /** Seed of the order; default none: the data's own. */
  readonly shuffle?: number | undefined;
  /** Which epoch it is, from 0: each has another order. Default 0. */
  readonly epoch?: number | undefined;
  /** Batches at the start of the epoch that are left out, where it is gone on with. Default 0. */
  readonly from?: number | undefined;
  /**
   * What becomes of the last samples where they fill no batch: dropped, or padded by the first samples of the epoch. With an
   * ignore_index the padding's target is that, and the loss leaves it out; else it counts.
   */
  readonly last: "drop" | "pad";
  readonly signal?: AbortSignal | undefined;
  /** Batches that are read ahead of the one that is used. Default 2. */
  readonly ahead?: number | undefined;
  /** Arrays are used again: a batch may be read until the next but one is asked for. Default false. */
  readonly reuse?: boolean | undefined;
}

/** The batches of an epoch. */
export interface EpochBatches extends AsyncIterable<Required<LoadedBatch>> {
  /** How many the whole epoch has. */
  readonly count: number;
  /** Samples at its end that are left out. */
  readonly dropped: number;
  /** Samples that its last batch is padded by. */
  readonly padded: number;
  /** What becomes of the last samples, in words; undefined where they fill a batch. */
  readonly note: string | undefined;
}

const isWhole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;

function checkOptions({ batchSize, shuffle = 0, epoch = 0, from = 0, ahead = 2 }: BatchesOptions): void {
  const counts = {
    batchSize: [batchSize, 1],
    shuffle: [shuffle, 0],
    epoch: [epoch, 0],
    from: [from, 0],
    ahead: [ahead, 0],
  };
  for (const [name, [value = 0, least = 0]] of Object.entries(counts))
    if (!isWhole(value, least)) throw new Error(`${name} of batches is not a whole number from ${least} on: ${value}`);
}

/**
 * An epoch of a dataset as batches that fit a model's step, shuffled by seed and epoch, read ahead while the step runs, in
 * the tensors' element types. Columns are matched to tensors by name: `target`, `label`, `labels` or `y` is the target,
 * `input`, `x` or `image` the one input of a model. Throws where a column is missing or misshapen, and where no batch can be
 * filled; numbers that are out of range are named before the first batch. Aborting throws the signal's reason.
 */
export function batchesOf(data: Dataset, options: BatchesOptions): EpochBatches {
  checkOptions(options);
  const { batchSize, last, epoch = 0, from = 0 } = options;
  if (data.count === 0) throw new Error(`no samples in ${data.name}`);
  const matches = matchColumns(data, options.batch);
  const rest = data.count % batchSize;
  const isPadded = rest > 0 && last === "pad";
  const count = Math.floor(data.count / batchSize) + Number(isPadded);
  if (count === 0)
    throw new Error(
      `${data.name} has ${data.count} samples, a batch takes ${batchSize}: none is filled (pass last: "pad", or a smaller batch)`,
    );
  if (from > count)
    throw new Error(`an epoch of ${data.name} has ${count} batches; there is none to go on with behind ${from}`);
  const dropped = isPadded ? 0 : rest;
  const padded = isPadded ? batchSize - rest : 0;
  return {
    count,
    dropped,
    padded,
    note: noteOf(matches, batchSize, { dropped, padded }),
    [Symbol.asyncIterator]: () => {
      const order = epochOrder(data.count, options.shuffle, epoch);
      return readAhead({ data, matches, order, count, from, options });
    },
  };
}

function noteOf(
  matches: readonly Match[],
  batchSize: number,
  { dropped, padded }: Pick<EpochBatches, "dropped" | "padded">,
): string | undefined {
  const samples = (count: number): string => (count === 1 ? "1 sample" : `${count} samples`);
  if (dropped > 0) return `the last ${samples(dropped)} of an epoch, too few for a batch of ${batchSize}, are left out`;
  if (padded === 0) return undefined;
  const ignored = matches.find(({ tensor }) => tensor.isTarget)?.tensor.ignoreIndex;
  const counts =
    ignored === undefined ? "which count in the loss" : `with target ${ignored}, which the loss leaves out`;
  return `an epoch's last batch is padded by ${samples(padded)} from its start, ${counts}`;
}

interface Reading {
  readonly data: Dataset;
  readonly matches: readonly Match[];
  readonly order: Int32Array;
  readonly count: number;
  readonly from: number;
  readonly options: BatchesOptions;
}

/** Batches in their order, of which some are read while one is used. */
async function* readAhead(reading: Reading): AsyncGenerator<Required<LoadedBatch>, void, undefined> {
  const { data, matches, count, from, options } = reading;
  const { signal, ahead = 2, reuse } = options;
  signal?.throwIfAborted();
  await checkNumbers(data, matches, signal);
  // one that is used, one that was, and those ahead
  const slots = reuse ? Array.from({ length: ahead + 2 }, () => new Map<string, TypedNumbers>()) : [];
  const pending: Promise<Required<LoadedBatch>>[] = [];
  let next = from;
  const begin = (): void => {
    const at = next;
    const batch = setImmediate().then(() => readBatch(reading, at, slots[at % Math.max(slots.length, 1)]));
    batch.catch(() => undefined); // thrown where it is asked for
    pending.push(batch);
    next++;
  };
  try {
    while (next < count || pending.length > 0) {
      while (next < count && pending.length < ahead + 1) begin();
      yield await orAborted(pending.shift() as Promise<Required<LoadedBatch>>, signal);
    }
  } finally {
    // nothing reads any more when the data is closed
    await Promise.allSettled(pending);
  }
}

/** What a promise gives, unless a signal comes first: then its reason is thrown. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

async function readBatch(
  { data, matches, order, options }: Reading,
  at: number,
  arrays: Map<string, TypedNumbers> | undefined,
): Promise<Required<LoadedBatch>> {
  const { batchSize } = options;
  const start = at * batchSize;
  const samples = Math.min(batchSize, data.count - start);
  // those of the padding come from the epoch's start
  const indices = Int32Array.from({ length: batchSize }, (_, i) => order[(start + i) % data.count] as number);
  const array = (key: string, make: () => TypedNumbers): TypedNumbers => {
    const made = arrays?.get(key) ?? make();
    arrays?.set(key, made);
    return made;
  };
  const tensors: Record<string, Numbers> = {};
  for (const { column, tensor, elements } of matches) {
    const { dtype, name, isTarget, ignoreIndex } = tensor;
    const wanted = array(name, () => typedZeros(dtype, batchSize * elements));
    const isSame = column.dtype === dtype;
    const into = isSame
      ? wanted
      : arrays && array(`read ${name}`, () => typedZeros(column.dtype, batchSize * elements));
    const read = await data.read(column.name, indices, into);
    const scale = isTarget || !isFloat(dtype) ? 1 : (column.scale ?? 1);
    if (read !== wanted) putNumbers(read, column.dtype, wanted, dtype, scale);
    if (isTarget && ignoreIndex !== undefined && samples < batchSize)
      wanted.fill((typeof wanted[0] === "bigint" ? BigInt(ignoreIndex) : ignoreIndex) as never, samples * elements);
    tensors[name] = wanted;
  }
  return { tensors, samples, indices };
}
