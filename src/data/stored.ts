import { read } from "node:fs";
import { totalmem } from "node:os";
import { cannotRead, readPart } from "../files.js";
import { formatBytes } from "../format.js";
import { bytesPerElement, type DType, elementCount } from "../graph/graph.js";
import type { Numbers } from "./batch.js";
import { bytesIn, type TypedNumbers, typedZeros } from "./numbers.js";

/** Where the elements of an array lie: in memory, or in an open file from an offset on. */
export type Place =
  | { readonly bytes: Uint8Array }
  | { readonly descriptor: number; readonly offset: number; readonly file: string };

/** An array as a file holds it; dimension 0 counts samples. */
export interface StoredArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly place: Place;
  /** The most significant byte of an element comes first. */
  readonly isBigEndian?: boolean;
  /** The first index runs fastest. */
  readonly isFortran?: boolean;
}

/** Arrays of up to so many bytes are held in memory; of larger ones samples are read as they are wanted. */
export const heldBytes = 2 ** 26;

/** Samples from so many bytes on are read beside the program, not in its way. */
const besideBytes = 2 ** 16;

/** Most bytes that are unpacked, or turned round, in memory: a quarter of the machine's. */
export const mostUnpacked = (): number => Math.min(2 ** 34, totalmem() / 4);

/** Samples of an array, read as they are wanted. */
export interface Rows {
  readonly dtype: DType;
  /** Of one sample. */
  readonly shape: readonly number[];
  readonly count: number;
  read(indices: Int32Array | readonly number[], into?: Numbers): TypedNumbers | Promise<TypedNumbers>;
}

/**
 * The samples of a stored array. Large ones stay in their file, but for those in Fortran's order, whose samples lie
 * scattered. Throws `cannot read data: …` where that is too much for the memory, or the file has become shorter.
 */
export function rowsOf(array: StoredArray, file: string): Rows {
  const [count = 0, ...shape] = array.shape;
  const elements = elementCount(shape);
  const size = bytesPerElement(array.dtype);
  const sampleBytes = elements * size;
  const all = count * sampleBytes;
  const isTurned = array.isFortran === true && shape.some((length) => length > 1) && count > 1;
  if (isTurned && 2 * all > mostUnpacked())
    throw cannotRead("data", file, `${formatBytes(all)} in Fortran's order; save it in C's, by np.ascontiguousarray`);
  // what turns Fortran's order round reads all of it
  const held = isTurned || all <= heldBytes ? whole(array.place, all) : undefined;
  const ordered = held && (array.isFortran ? inCOrder(held, array.shape, size) : held);
  const place: Place = ordered ? { bytes: ordered } : array.place;
  const finish = (numbers: TypedNumbers): TypedNumbers => {
    if (array.isBigEndian) swapBytes(bytesIn(numbers), size);
    return numbers;
  };
  return {
    dtype: array.dtype,
    shape,
    count,
    read(indices, into) {
      const numbers = fitting(into, array.dtype, indices.length * elements);
      const bytes = bytesIn(numbers);
      if ("bytes" in place) {
        for (let i = 0; i < indices.length; i++) {
          const from = (indices[i] as number) * sampleBytes;
          bytes.set(place.bytes.subarray(from, from + sampleBytes), i * sampleBytes);
        }
        return finish(numbers);
      }
      const runs = runsOf(indices, sampleBytes);
      if (sampleBytes < besideBytes) {
        for (const { from, at, bytes: length } of runs) {
          const part = readPart(place.descriptor, place.offset + from, length);
          if (part.length < length) throw cannotRead("data", place.file, "it has become shorter");
          bytes.set(part, at);
        }
        return finish(numbers);
      }
      const reads = runs.map(({ from, at, bytes: length }) => readBeside(place, from, bytes.subarray(at, at + length)));
      return Promise.all(reads).then(() => finish(numbers));
    },
  };
}

/** An array to fill: the one given if it fits. */
function fitting(into: Numbers | undefined, dtype: DType, count: number): TypedNumbers {
  const made = Array.isArray(into) || into === undefined ? undefined : (into as TypedNumbers);
  return made?.length === count ? made : typedZeros(dtype, count);
}

/** Samples that lie one behind the other, as one piece each: where in the file, where in the batch, how many bytes. */
function runsOf(indices: Int32Array | readonly number[], sampleBytes: number) {
  const runs: { from: number; at: number; bytes: number }[] = [];
  for (let i = 0; i < indices.length; i++) {
    const from = (indices[i] as number) * sampleBytes;
    const last = runs.at(-1);
    if (last && last.from + last.bytes === from) last.bytes += sampleBytes;
    else runs.push({ from, at: i * sampleBytes, bytes: sampleBytes });
  }
  return runs;
}

/** All bytes of an array. */
function whole(place: Place, bytes: number): Uint8Array {
  if ("bytes" in place) return place.bytes;
  const part = readPart(place.descriptor, place.offset, bytes);
  if (part.length < bytes) throw cannotRead("data", place.file, "it has become shorter");
  return part;
}

/** Fills bytes from a file in one of libuv's threads. */
function readBeside(place: Extract<Place, { descriptor: number }>, from: number, into: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (done: number): void => {
      if (done === into.length) {
        resolve();
        return;
      }
      const length = Math.min(into.length - done, 2 ** 30);
      read(place.descriptor, into, done, length, place.offset + from + done, (error, got) => {
        if (error) reject(cannotRead("data", place.file, error.code, error));
        else if (got === 0) reject(cannotRead("data", place.file, "it has become shorter"));
        else step(done + got);
      });
    };
    step(0);
  });
}

/** Elements of an array whose first index runs fastest, with the last running fastest. */
function inCOrder(bytes: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const strides = shape.map((_, axis) => elementCount(shape.slice(0, axis)));
  const index = shape.map(() => 0);
  let from = 0;
  for (let at = 0; at < bytes.length; at += size) {
    for (let byte = 0; byte < size; byte++) out[at + byte] = bytes[from * size + byte] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (index[axis] as number) + 1;
      from += strides[axis] as number;
      if (next < (shape[axis] as number)) {
        index[axis] = next;
        break;
      }
      from -= next * (strides[axis] as number);
      index[axis] = 0;
    }
  }
  return out;
}

/** Turns the bytes of each element round, in place. */
function swapBytes(bytes: Uint8Array, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size === 2) buffer.swap16();
  else if (size === 4) buffer.swap32();
  else if (size === 8) buffer.swap64();
}

/** An array in memory, for numbers of an element type. */
export const heldArray = (dtype: DType, shape: readonly number[], numbers: TypedNumbers): StoredArray => ({
  dtype,
  shape,
  place: { bytes: bytesIn(numbers) },
});
