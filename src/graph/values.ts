import { bytesPerElement, type DType, type TensorType } from "./graph.js";

/** A tensor value on the host. */
export interface Value extends TensorType {
  /** Little-endian elements. */
  readonly data: Uint8Array;
}

function toHalf(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  let mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa ? 0x200 : 0);
  const e = exponent - 127 + 15;
  if (e >= 0x1f) return sign | 0x7c00;
  if (e <= 0) {
    if (e < -10) return sign;
    mantissa |= 0x800000;
    const shift = 14 - e;
    const half = mantissa >>> shift;
    const rest = mantissa & ((1 << shift) - 1);
    const tie = 1 << (shift - 1);
    return sign | (half + (rest > tie || (rest === tie && half & 1) ? 1 : 0));
  }
  const half = (e << 10) | (mantissa >>> 13);
  const rest = mantissa & 0x1fff;
  return sign | (half + (rest > 0x1000 || (rest === 0x1000 && half & 1) ? 1 : 0));
}

function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 0x1f) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

function toBfloat(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] as number;
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

const fromBfloat = (half: number): number => new Float32Array(new Uint32Array([half << 16]).buffer)[0] as number;

type Read = (view: DataView, offset: number) => number;

type Write = (view: DataView, offset: number, value: number) => void;

const big = (value: number): bigint =>
  value >= 2 ** 63 ? 2n ** 63n - 1n : value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(value));

const access: Readonly<Record<DType, { readonly get: Read; readonly set: Write }>> = {
  float32: { get: (v, o) => v.getFloat32(o, true), set: (v, o, x) => v.setFloat32(o, x, true) },
  float64: { get: (v, o) => v.getFloat64(o, true), set: (v, o, x) => v.setFloat64(o, x, true) },
  float16: { get: (v, o) => fromHalf(v.getUint16(o, true)), set: (v, o, x) => v.setUint16(o, toHalf(x), true) },
  bfloat16: { get: (v, o) => fromBfloat(v.getUint16(o, true)), set: (v, o, x) => v.setUint16(o, toBfloat(x), true) },
  int8: { get: (v, o) => v.getInt8(o), set: (v, o, x) => v.setInt8(o, x) },
  uint8: { get: (v, o) => v.getUint8(o), set: (v, o, x) => v.setUint8(o, x) },
  int16: { get: (v, o) => v.getInt16(o, true), set: (v, o, x) => v.setInt16(o, x, true) },
  uint16: { get: (v, o) => v.getUint16(o, true), set: (v, o, x) => v.setUint16(o, x, true) },
  int32: { get: (v, o) => v.getInt32(o, true), set: (v, o, x) => v.setInt32(o, x, true) },
  uint32: { get: (v, o) => v.getUint32(o, true), set: (v, o, x) => v.setUint32(o, x, true) },
  int64: { get: (v, o) => Number(v.getBigInt64(o, true)), set: (v, o, x) => v.setBigInt64(o, big(x), true) },
  uint64: { get: (v, o) => Number(v.getBigUint64(o, true)), set: (v, o, x) => v.setBigUint64(o, BigInt(x), true) },
  bool: { get: (v, o) => v.getUint8(o), set: (v, o, x) => v.setUint8(o, x ? 1 : 0) },
};

/** Little-endian bytes of numbers in an element type; int64 saturates at its limits. */
export function bytesOf(dtype: DType, values: ArrayLike<number>): Uint8Array {
  const size = bytesPerElement(dtype);
  const bytes = new Uint8Array(values.length * size);
  const view = new DataView(bytes.buffer);
  const { set } = access[dtype];
  for (let i = 0; i < values.length; i++) set(view, i * size, values[i] as number);
  return bytes;
}

/** Little-endian bytes of `count` equal numbers. */
export function repeated(dtype: DType, value: number, count: number): Uint8Array {
  const one = bytesOf(dtype, [value]);
  const bytes = new Uint8Array(count * one.length);
  Buffer.from(bytes.buffer).fill(one);
  return bytes;
}

/** Numbers held by little-endian bytes; int64 beyond 2^53 loses its last digits. */
export function valuesOf(dtype: DType, bytes: Uint8Array): number[] {
  const size = bytesPerElement(dtype);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { get } = access[dtype];
  return Array.from({ length: Math.floor(bytes.byteLength / size) }, (_, i) => get(view, i * size));
}

/**
 * Numbers held by little-endian bytes, without a copy where that can be: of large tensors, whose numbers as a list would
 * take eight bytes each.
 */
export function numbersIn(dtype: DType, bytes: Uint8Array): ArrayLike<number> {
  const Typed = dtype === "float32" ? Float32Array : dtype === "float64" ? Float64Array : undefined;
  if (!Typed) return valuesOf(dtype, bytes);
  const aligned = bytes.byteOffset % Typed.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Typed(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    Math.floor(bytes.byteLength / Typed.BYTES_PER_ELEMENT),
  );
}

/** The number with the fewest digits that is the same float32: 1e-5 for 0.000009999999747378752. */
export function shortestFloat(value: number): number {
  for (let digits = 6; digits < 9 && value !== 0; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
