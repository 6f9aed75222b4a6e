import { writeFileSync } from "node:fs";
import { readFile } from "../files.js";
import { bytesPerElement, type DType, elementCount } from "../graph/graph.js";
import type { Value } from "../graph/values.js";

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

/** Headers of more bytes are refused, as by the format's own reader. */
const maxHeaderBytes = 100_000_000;

/**
 * Reads a safetensors file: 8 bytes of header length, a JSON header, raw little-endian data, of which the values are
 * views. Throws one line for a file that cannot be read, is truncated, or whose header does not fit its data.
 */
export function readSafetensors(file: string): Map<string, Value> {
  const bytes = readFile("safetensors", file);
  const length = bytes.length >= 8 ? Number(bytes.readBigUInt64LE(0)) : -1;
  if (length < 2 || length > maxHeaderBytes || length > bytes.length - 8)
    throw new Error(`not a safetensors file, or truncated: ${file}`);
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString("utf8", 8, 8 + length));
  } catch (error) {
    throw new Error(`not a safetensors file: ${file}`, { cause: error });
  }
  if (!isObject(header)) throw new Error(`not a safetensors file: ${file}`);
  const data = bytes.subarray(8 + length);
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  const read = entries.map(([name, entry]) => ({ ...readEntry(name, entry, data.length, file), name }));
  let end = 0;
  for (const { name, begin, bytes: size } of [...read].sort((a, z) => a.begin - z.begin || a.bytes - z.bytes)) {
    if (begin < end) throw new Error(`overlapping safetensors entry: ${printable(name)} (${file})`);
    end = begin + size;
  }
  return new Map(
    read.map(({ name, dtype, shape, begin, bytes: size }) => {
      return [name, { dtype, shape, data: new Uint8Array(data.buffer, data.byteOffset + begin, size) }];
    }),
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Errors stay one line, whatever a file calls its tensors. */
const printable = (name: string): string => JSON.stringify(name).slice(1, -1);

/** One entry of the header, checked against the number of data bytes. */
function readEntry(name: string, entry: unknown, dataBytes: number, file: string) {
  const { dtype: written, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
  const shown = printable(name);
  const dtype = typeof written === "string" && Object.hasOwn(names, written) ? names[written] : undefined;
  if (!dtype) throw new Error(`unknown element type in safetensors: ${printable(String(written))} (${shown})`);
  if (!Array.isArray(shape) || !shape.every(isSize))
    throw new Error(`safetensors entry without shape: ${shown} (${file})`);
  const [begin, end] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  if (!isSize(begin) || !isSize(end) || begin > end || end > dataBytes)
    throw new Error(`safetensors entry outside the file: ${shown} (${file})`);
  if (end - begin !== elementCount(shape) * bytesPerElement(dtype))
    throw new Error(`safetensors entry ${shown} has ${end - begin} bytes for ${dtype}[${shape}] (${file})`);
  return { dtype, shape, begin, bytes: end - begin };
}

/** Writes tensors as a safetensors file. */
export function writeSafetensors(file: string, values: ReadonlyMap<string, Value>): void {
  const short = new Map(Object.entries(names).map(([name, dtype]) => [dtype, name]));
  let at = 0;
  const header = [...values].map(([name, { dtype, shape, data }]): [string, Entry] => {
    const begin = at;
    at += data.length;
    return [name, { dtype: short.get(dtype) as string, shape, data_offsets: [begin, at] }];
  });
  const text = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, ...[...values.values()].map(({ data }) => data)]));
}
