import type { DType } from "../graph/graph.js";

/**
 * Numbers of a tensor, row by row: a typed array, or a list. 16-bit floats are their bits in a Uint16Array, true and false
 * 1 and 0 in a Uint8Array.
 */
export type Numbers =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | readonly number[];

/**
 * What one step takes, by name: the model's inputs, and `target`, what the loss compares its output with. A model with one
 * input takes it as `input` too. With accumulation a batch has as many times the samples, along dimension 0.
 */
export type Batch = Readonly<Record<string, Numbers>>;

/** A tensor that a step takes. */
export interface BatchTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Dimension 0 counts samples. */
  readonly shape: readonly number[];
  /** Class numbers and indices of a table are from 0 to this, exclusive. */
  readonly limit?: number;
  /** The target that is left out of the loss, beside those below `limit`. */
  readonly ignoreIndex?: number;
  readonly isTarget: boolean;
}

/** A batch, and what of it is not padding. */
export interface LoadedBatch {
  readonly tensors: Batch;
  /** How many samples of it count, the first ones; the rest is padding. Default: all. */
  readonly samples?: number;
  /** Which samples of the data they are. */
  readonly indices?: Int32Array;
}

/**
 * Where batches come from: anything that is iterated, at once or with waiting, over batches or over batches that say what
 * is padding. What `batchesOf` gives is one, a generator or a list of `{ input, target }` another.
 */
export type Batches = AsyncIterable<Batch | LoadedBatch> | Iterable<Batch | LoadedBatch>;

const isNumbers = (value: unknown): boolean => Array.isArray(value) || ArrayBuffer.isView(value);

/** A batch with what is known of its padding. Throws where it is no record of numbers by tensor names. */
export function loadedBatch(batch: Batch | LoadedBatch): LoadedBatch {
  const isLoaded = typeof batch === "object" && batch !== null && "tensors" in batch && !isNumbers(batch.tensors);
  const loaded = isLoaded ? (batch as LoadedBatch) : { tensors: batch as Batch };
  const { tensors } = loaded;
  if (typeof tensors !== "object" || tensors === null || isNumbers(tensors))
    throw new Error("a batch is no record of arrays by tensor names: give { input, target }");
  for (const [name, numbers] of Object.entries(tensors))
    if (!isNumbers(numbers)) throw new Error(`a batch's ${name} is neither a typed array nor a list of numbers`);
  return loaded;
}

/** Batches of any kind, one after the other as they are asked for; whoever stops early stops their source too. */
export async function* eachBatch(batches: Batches): AsyncGenerator<LoadedBatch, void, undefined> {
  for await (const batch of batches) yield loadedBatch(batch);
}
