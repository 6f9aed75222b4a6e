import { closeSync, openSync, writeSync } from "node:fs";
import { readFile } from "../files.js";
import { bytesPerElement, type DType, elementCount } from "../graph/graph.js";
import type { Value } from "../graph/values.js";
import { own } from "../own.js";

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
export const readSafetensors = (file: string): Map<string, Value> => readSafetensorsFile(file).values;

/** The same, with the texts by name that the file holds beside its tensors (`__metadata__`; others than texts are left out). */
export function readSafetensorsFile(file: string): {
  values: Map<string, Value>;
  metadata: Readonly<Record<string, string>>;
} {
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
  const values = new Map(
    read.map(({ name, dtype, shape, begin, bytes: size }): [string, Value] => {
      return [name, { dtype, shape, data: new Uint8Array(data.buffer, data.byteOffset + begin, size) }];
    }),
  );
  return { values, metadata: textsOf(own(header, "__metadata__")) };
}

const textsOf = (metadata: unknown): Record<string, string> =>
  isObject(metadata)
    ? Object.fromEntries(
        Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
      )
    : {};

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

/** Writes tensors as a safetensors file, one after the other, with texts by name beside them. Throws what the system does. */
export function writeSafetensors(
  file: string,
  values: ReadonlyMap<string, Value>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const short = new Map(Object.entries(names).map(([name, dtype]) => [dtype, name]));
  let at = 0;
  const header = [...values].map(([name, { dtype, shape, data }]): [string, Entry] => {
    const begin = at;
    at += data.length;
    return [name, { dtype: short.get(dtype) as string, shape, data_offsets: [begin, at] }];
  });
  const beside = Object.keys(metadata).length ? { __metadata__: metadata } : {};
  const text = Buffer.from(JSON.stringify({ ...beside, ...Object.fromEntries(header) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const descriptor = openSync(file, "w");
  try {
    for (const part of [length, text, ...[...values.values()].map(({ data }) => data)])
      for (let done = 0; done < part.length; ) done += writeSync(descriptor, part, done, part.length - done);
  } finally {
    closeSync(descriptor);
  }
}
