import { readFileSync, writeFileSync } from "node:fs";
import { bytesPerElement, type DType, elementCount } from "./graph.js";
import type { Value } from "./runtime/runtime.js";

/** The format's names of element types. */
const names: Readonly<Record<string, DType>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool",
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/**
 * Reads a safetensors file: 8 bytes of header length, a JSON header, raw little-endian data. Throws one line for a file
 * that cannot be read, is truncated, or whose header does not fit its data.
 */
export function readSafetensors(file: string): Map<string, Value> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Error(`cannot read safetensors: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  const length = bytes.length >= 8 ? Number(bytes.readBigUInt64LE(0)) : -1;
  if (length < 2 || length > bytes.length - 8) throw new Error(`not a safetensors file, or truncated: ${file}`);
  let header: Record<string, Entry>;
  try {
    header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, Entry>;
  } catch (error) {
    throw new Error(`not a safetensors file: ${file}`, { cause: error });
  }
  const data = bytes.subarray(8 + length);
  const values = new Map<string, Value>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const dtype = names[entry?.dtype];
    const [begin, end] = entry?.data_offsets ?? [];
    if (!dtype) throw new Error(`unknown element type in safetensors: ${entry?.dtype} (${name})`);
    if (
      !Array.isArray(entry.shape) ||
      begin === undefined ||
      end === undefined ||
      !(begin >= 0 && begin <= end && end <= data.length)
    )
      throw new Error(`safetensors entry outside the file: ${name} (${file})`);
    if (end - begin !== elementCount(entry.shape) * bytesPerElement(dtype))
      throw new Error(`safetensors entry ${name} has ${end - begin} bytes for ${entry.dtype} [${entry.shape}]`);
    values.set(name, { dtype, shape: entry.shape, data: new Uint8Array(data.subarray(begin, end)) });
  }
  return values;
}

/** Writes tensors as a safetensors file. */
export function writeSafetensors(file: string, values: ReadonlyMap<string, Value>): void {
  const short = new Map(Object.entries(names).map(([name, dtype]) => [dtype, name]));
  let at = 0;
  const header: Record<string, Entry> = {};
  for (const [name, { dtype, shape, data }] of values) {
    header[name] = { dtype: short.get(dtype) as string, shape, data_offsets: [at, at + data.length] };
    at += data.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, ...[...values.values()].map(({ data }) => data)]));
}
