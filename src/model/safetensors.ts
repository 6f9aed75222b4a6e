import { closeSync } from "node:fs";
import { type OpenFile, openWhole, readPart } from "../files.js";
import { bytesPerElement, type DType, elementCount, type TensorType } from "../graph/graph.js";
import type { Value } from "../graph/values.js";
import { own } from "../own.js";
import { writeParts } from "../writing.js";

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

/** A tensor of a safetensors file, and where in the file its little-endian data lies. */
export interface SafetensorsEntry extends TensorType {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

type Metadata = Readonly<Record<string, string>>;

/**
 * The tensors of an open safetensors file in the order of its header, and the texts by name beside them (`__metadata__`;
 * others than texts are left out): 8 bytes of header length, a JSON header, raw little-endian data. Throws one line if it
 * is truncated, or its header does not fit its data.
 */
export function safetensorsHeader(
  { descriptor, bytes }: OpenFile,
  file: string,
): { entries: SafetensorsEntry[]; metadata: Metadata } {
  const start = readPart(descriptor, 0, 8);
  const length = start.length === 8 ? Number(start.readBigUInt64LE(0)) : -1;
  if (length < 2 || length > maxHeaderBytes || length > bytes - 8)
    throw new Error(`not a safetensors file, or truncated: ${file}`);
  let header: unknown;
  try {
    header = JSON.parse(readPart(descriptor, 8, length).toString("utf8"));
  } catch (error) {
    throw new Error(`not a safetensors file: ${file}`, { cause: error });
  }
  if (!isObject(header)) throw new Error(`not a safetensors file: ${file}`);
  const data = 8 + length;
  const named = Object.entries(header).filter(([name]) => name !== "__metadata__");
  const entries = named.map(([name, entry]) => readEntry(name, entry, { start: data, bytes: bytes - data }, file));
  let end = 0;
  for (const entry of [...entries].sort((a, z) => a.offset - z.offset || a.bytes - z.bytes)) {
    if (entry.offset < end) throw new Error(`overlapping safetensors entry: ${printable(entry.name)} (${file})`);
    end = entry.offset + entry.bytes;
  }
  return { entries, metadata: textsOf(own(header, "__metadata__")) };
}

/**
 * Reads a safetensors file, whose values are views of its data. Throws one line for a file that cannot be read, is
 * truncated, or whose header does not fit its data.
 */
export const readSafetensors = (file: string): Map<string, Value> => readSafetensorsFile(file).values;

/** The same, with the texts by name that the file holds beside its tensors. */
export function readSafetensorsFile(file: string): { values: Map<string, Value>; metadata: Metadata } {
  const open = openWhole("safetensors", file);
  try {
    const { entries, metadata } = safetensorsHeader(open, file);
    const whole = readPart(open.descriptor, 0, open.bytes);
    const values = new Map(
      entries.map(({ name, dtype, shape, offset, bytes }): [string, Value] => {
        return [name, { dtype, shape, data: new Uint8Array(whole.buffer, whole.byteOffset + offset, bytes) }];
      }),
    );
    return { values, metadata };
  } finally {
    closeSync(open.descriptor);
  }
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
function readEntry(
  name: string,
  entry: unknown,
  data: { readonly start: number; readonly bytes: number },
  file: string,
): SafetensorsEntry {
  const { dtype: written, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
  const shown = printable(name);
  const dtype = typeof written === "string" && Object.hasOwn(names, written) ? names[written] : undefined;
  if (typeof written !== "string") throw new Error(`safetensors entry without element type: ${shown} (${file})`);
  if (!dtype) throw new Error(`unknown element type in safetensors: ${printable(written)} (${shown})`);
  if (!Array.isArray(shape) || !shape.every(isSize))
    throw new Error(`safetensors entry without shape: ${shown} (${file})`);
  const [begin, end] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  if (!isSize(begin) || !isSize(end) || begin > end || end > data.bytes)
    throw new Error(`safetensors entry outside the file: ${shown} (${file})`);
  if (end - begin !== elementCount(shape) * bytesPerElement(dtype))
    throw new Error(`safetensors entry ${shown} has ${end - begin} bytes for ${dtype}[${shape}] (${file})`);
  return { name, dtype, shape, offset: data.start + begin, bytes: end - begin };
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
  writeParts(file, [length, text, ...[...values.values()].map(({ data }) => data)]);
}
