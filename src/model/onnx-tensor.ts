import { closeSync, realpathSync, type Stats, statSync } from "node:fs";
import { totalmem } from "node:os";
import path from "node:path";
import { openFile, readPart } from "../files.js";
import { formatBytes } from "../format.js";
import {
  bytesPerElement,
  type DType,
  dtypeOfNumber,
  elementCount,
  onnxNumbers,
  type TensorType,
} from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import { type ProtoTensor, toNumber } from "./onnx-proto.js";

/** Where a model comes from: its file's name, and the folder in which its external data may lie (null: nowhere). */
export interface ModelSource {
  readonly file: string;
  readonly folder: string | null;
}

/** A tensor's type and little-endian bytes, read from whichever field holds them. Throws if they do not fit. */
export function readTensor(tensor: ProtoTensor, name: string, from: ModelSource): TensorType & { data: Uint8Array } {
  const shape = (tensor.dims ?? []).map(toNumber);
  if (shape.some((n) => n < 0)) throw new Error(`negative dimension: [${shape}] (${name})`);
  const dtype = dtypeOfNumber(tensor.dataType ?? 0, name);
  const expected = elementCount(shape) * bytesPerElement(dtype);
  if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(expected))
    throw new Error(`tensor too large: ${name} [${shape}]`);
  const data = tensor.dataLocation === 1 ? readExternal(tensor, name, expected, from) : inlineBytes(tensor, dtype);
  if (data.length !== expected)
    throw new Error(
      `tensor ${name} claims [${shape}] ${dtype}, ${expected} bytes, but has ${data.length}: ${from.file}`,
    );
  return { dtype, shape, data };
}

/** Where the data of a tensor lies: a file in the model's folder, and the first byte there. */
export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
}

/** The inverse of `readTensor`: with the data inline, or with its place in another file. */
export function writeTensor(
  name: string,
  tensor: TensorType & { data: Uint8Array },
  place?: ExternalPlace,
): ProtoTensor {
  const type = { name, dims: [...tensor.shape], dataType: onnxNumbers[tensor.dtype] };
  if (!place) return { ...type, rawData: tensor.data };
  const entries = { location: place.location, offset: place.offset, length: tensor.data.length };
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value: String(value) }));
  return { ...type, dataLocation: 1, externalData };
}

function inlineBytes(tensor: ProtoTensor, dtype: DType): Uint8Array {
  const raw = tensor.rawData;
  // a plain view: Node's decoder gives Buffers, whose slice() does not copy
  if (raw?.length) return new Uint8Array(raw.buffer, raw.byteOffset, raw.length);
  switch (dtype) {
    case "float32":
      return bytesOf(dtype, tensor.floatData ?? []);
    case "float64":
      return bytesOf(dtype, tensor.doubleData ?? []);
    case "int64":
      return new Uint8Array(BigInt64Array.from((tensor.int64Data ?? []).map((x) => BigInt(String(x)))).buffer);
    case "uint64":
      return new Uint8Array(BigUint64Array.from((tensor.uint64Data ?? []).map((x) => BigInt(String(x)))).buffer);
    case "uint32":
      return bytesOf(dtype, (tensor.uint64Data ?? []).map(toNumber));
    case "float16":
    case "bfloat16":
      // half floats are stored as their bits
      return bytesOf("uint16", tensor.int32Data ?? []);
    default:
      return bytesOf(dtype, tensor.int32Data ?? []);
  }
}

const outside = (place: string, folder: string): boolean => {
  const relative = path.relative(folder, place);
  return relative === ".." || relative.startsWith(`..${path.sep}`) || path.isAbsolute(relative);
};

/** Reads a tensor's part of an external data file, which must lie in the model's folder, links followed. */
function readExternal(tensor: ProtoTensor, name: string, expected: number, from: ModelSource): Uint8Array {
  const entry = new Map((tensor.externalData ?? []).map(({ key, value }) => [key, value]));
  const location = entry.get("location") ?? "";
  const offset = Number(entry.get("offset") ?? 0);
  const length = Number(entry.get("length") ?? expected);
  if (from.folder === null || !location) throw new Error(`external data without a place: ${name} (${from.file})`);
  const file = path.resolve(from.folder, location);
  if (path.isAbsolute(location) || outside(file, from.folder))
    throw new Error(`external data outside the model's folder: ${location} (${name})`);
  let real: string;
  let found: Stats;
  try {
    real = realpathSync(file);
    found = statSync(real);
  } catch (error) {
    throw new Error(`missing external data: ${location} (${name}; it belongs into the folder of the model file)`, {
      cause: error,
    });
  }
  if (outside(real, realpathSync(from.folder)))
    throw new Error(`external data outside the model's folder: ${location} (${name})`);
  if (!found.isFile()) throw new Error(`external data is not a file: ${location} (${name})`);
  if (!Number.isSafeInteger(offset) || offset < 0 || length !== expected)
    throw new Error(
      `tensor ${name} claims ${expected} bytes, its external data says ${entry.get("length") ?? expected} at ${entry.get("offset") ?? 0}`,
    );
  if (offset + length > found.size)
    throw new Error(`truncated external data: ${location} has ${found.size} bytes, ${name} needs ${offset + length}`);
  if (length > totalmem())
    throw new Error(`tensor too large: ${name} (${formatBytes(length)}; this machine has ${formatBytes(totalmem())})`);
  const { descriptor } = openFile("external data", real);
  try {
    const data = readPart(descriptor, offset, length);
    if (data.length < length) throw new Error(`truncated external data: ${location} (${name})`);
    return new Uint8Array(data.buffer, data.byteOffset, length);
  } finally {
    closeSync(descriptor);
  }
}
