import { bytesPerElement, type DType, isFloat } from "../graph/graph.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import type { Numbers } from "./batch.js";

/** Typed arrays, as opposed to lists. */
export type TypedNumbers = Exclude<Numbers, readonly number[]>;

type TypedArrays = new (buffer: ArrayBufferLike, offset: number, count: number) => TypedNumbers;

const arrays: Readonly<Record<DType, TypedArrays>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

/** The element type of a typed array, where 16 and 8 bits without a sign are whole numbers. */
export const dtypeOf = (numbers: TypedNumbers): DType =>
  numbers instanceof Uint16Array
    ? "uint16"
    : numbers instanceof Uint8ClampedArray
      ? "uint8"
      : (Object.entries(arrays).find(([, array]) => numbers instanceof array)?.[0] as DType);

/** Little-endian bytes as the typed array of an element type: a view of them, or a copy where they lie askew. */
export function typedView(dtype: DType, bytes: Uint8Array): TypedNumbers {
  const size = bytesPerElement(dtype);
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new arrays[dtype](buffer, byteOffset, byteLength / size);
}

/** A typed array of zeros for so many elements. */
export const typedZeros = (dtype: DType, count: number): TypedNumbers =>
  new arrays[dtype](new ArrayBuffer(count * bytesPerElement(dtype)), 0, count);

/** The bytes of a typed array. */
export const bytesIn = (numbers: TypedNumbers): Uint8Array =>
  new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

const is16BitFloat = (dtype: DType): boolean => dtype === "float16" || dtype === "bfloat16";

/** What the elements of an array mean, where each is a number (a bigint in 64-bit integers): 16-bit floats are decoded. */
const meant = (numbers: Numbers, dtype: DType): ArrayLike<number | bigint> =>
  is16BitFloat(dtype) && numbers instanceof Uint16Array ? valuesOf(dtype, bytesIn(numbers)) : numbers;

/**
 * Puts numbers of one element type into an array of another, those that become floats times `scale`; 16-bit floats are
 * their bits on both sides. What an element type cannot hold is rounded or wraps round: `misfit` finds it before.
 */
export function putNumbers(from: Numbers, fromType: DType, into: TypedNumbers, intoType: DType, scale = 1): void {
  if (fromType === intoType && scale === 1 && !Array.isArray(from)) {
    into.set(from as never);
    return;
  }
  const values = meant(from, fromType);
  const count = values.length;
  if (values instanceof Uint8Array && into instanceof Float32Array) {
    putBytes(values, into, scale);
  } else if (is16BitFloat(intoType)) {
    const bits = bytesOf(
      intoType,
      Float64Array.from(values, (value) => Number(value) * scale),
    );
    into.set(typedView(intoType, bits) as never);
  } else if (into instanceof BigInt64Array || into instanceof BigUint64Array) {
    for (let i = 0; i < count; i++) into[i] = toBig(values[i] as number | bigint);
  } else if (intoType === "bool") {
    for (let i = 0; i < count; i++) into[i] = Number(values[i]) === 0 ? 0 : 1;
  } else if (typeof values[0] === "bigint") {
    for (let i = 0; i < count; i++) into[i] = Number(values[i]) * scale;
  } else if (scale === 1) {
    into.set(values as never);
  } else {
    for (let i = 0; i < count; i++) into[i] = (values[i] as number) * scale;
  }
}

/** Bytes of images, the most that there is to convert: by a table, in a loop that sees no other types. */
function putBytes(from: Uint8Array, into: Float32Array, scale: number): void {
  const floats = Float32Array.from({ length: 256 }, (_, byte) => byte * scale);
  for (let i = 0; i < from.length; i++) into[i] = floats[from[i] as number] as number;
}

const toBig = (value: number | bigint): bigint => (typeof value === "bigint" ? value : BigInt(Math.trunc(value) || 0));

/** Whole numbers that an element type holds, from and to, both inclusive. */
const wholes: Partial<Record<DType, readonly [number, number]>> = {
  bool: [0, 1],
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  // float64 has no 2^63 - 1: the number below it
  int64: [-(2 ** 63), 2 ** 63 - 1024],
  uint64: [0, 2 ** 64 - 2048],
};

/** What the elements of a tensor may be. */
export interface Allowed {
  readonly from: number;
  /** Exclusive. */
  readonly limit?: number;
  readonly most: number;
  /** May be too. */
  readonly beside?: number;
}

/**
 * What elements of one type have to be for a tensor: whole, in the range of its type, below a limit. Undefined if all of
 * them fit.
 */
export function allowedIn(
  from: DType,
  { dtype, limit, ignoreIndex }: { readonly dtype: DType; readonly limit?: number; readonly ignoreIndex?: number },
): Allowed | undefined {
  if (isFloat(dtype)) return undefined;
  const [least, most] = wholes[dtype] as readonly [number, number];
  const range = wholes[from];
  if (limit === undefined && range && range[0] >= least && range[1] <= most) return undefined;
  if (limit === undefined) return { from: least, most };
  return { from: 0, most: limit - 1, limit, ...(ignoreIndex === undefined ? {} : { beside: ignoreIndex }) };
}

/** The first element that is not as it has to be, and where it stands; undefined if all are. */
export function misfit(
  numbers: Numbers,
  dtype: DType,
  { from, most, beside }: Allowed,
): { readonly at: number; readonly value: string } | undefined {
  const values = meant(numbers, dtype);
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (value >= from && value <= most && Number.isInteger(value)) continue;
    if (beside === undefined || value !== beside) return { at: i, value: String(values[i]) };
  }
  return undefined;
}
