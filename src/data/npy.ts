import { bytesPerElement, type DType, elementCount } from "../graph/graph.js";
import { shown } from "../schema.js";
import type { StoredArray } from "./stored.js";

/** numpy's letters of element types, with their bytes. */
const types: Readonly<Record<string, DType>> = {
  b1: "bool",
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
};

/** What else numpy saves, and what to do about it. */
const others: Readonly<Record<string, string>> = {
  O: "Python objects, which are not read: save numbers, by astype",
  U: "texts: save class numbers, by np.unique(…, return_inverse=True)",
  S: "texts: save class numbers, by np.unique(…, return_inverse=True)",
  M: "dates: save numbers, by astype",
  m: "durations: save numbers, by astype",
  c: "complex numbers: save real and imaginary part",
  V: "records, or a type that numpy lacks: save arrays of numbers",
  f: "floats of more than 64 bits: save float32, by astype",
};

const magic = Buffer.from("\x93NUMPY", "latin1");

/** The most bytes of an .npy's start that `readNpyHeader` needs. */
export const npyStart = 2 ** 16;

/** An array's type, and at which byte of its file the elements begin. */
export interface NpyHeader extends Omit<StoredArray, "place"> {
  readonly offset: number;
  /** Of the elements. */
  readonly bytes: number;
}

/**
 * What the first bytes of an .npy file say (NumPy Enhancement Proposal 1, versions 1 to 3). Throws what is wrong, in a few
 * words without the file's name: `not an .npy file`, `strings: …`.
 */
export function readNpyHeader(start: Buffer): NpyHeader {
  const isNpy = start.length >= 10 && start.subarray(0, 6).equals(magic);
  const version = start[6] as number;
  if (!isNpy) throw new Error(start.length < 10 ? "truncated: no .npy header" : "not an .npy file");
  if (version < 1 || version > 3) throw new Error(`an .npy file of version ${version}, which is not known`);
  const isLong = version > 1;
  const before = isLong ? 12 : 10;
  const length = isLong && start.length >= 12 ? start.readUInt32LE(8) : start.readUInt16LE(8);
  const offset = before + length;
  if (length > npyStart - 12) throw new Error("an .npy header of more than 64 KiB");
  if (offset > start.length) throw new Error("truncated: the .npy header ends early");
  const text = start.toString(version === 3 ? "utf8" : "latin1", before, offset);
  const descr = /['"]descr['"]\s*:\s*(?:['"]([^'"]*)['"]|(\[))/.exec(text);
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text)?.[1];
  const dims = /['"]shape['"]\s*:\s*\(([\d\sL,]*)\)/.exec(text)?.[1];
  if (!descr || !order || dims === undefined) throw new Error(`no type and shape in the .npy header ${shown(text)}`);
  const shape = dims.split(",").flatMap((dim) => (dim.trim() === "" ? [] : [Number.parseInt(dim, 10)]));
  const { dtype, isBigEndian } = elementType(descr[2] ? "V" : (descr[1] as string));
  const bytes = elementCount(shape) * bytesPerElement(dtype);
  if (!Number.isSafeInteger(bytes)) throw new Error(`a shape beyond all files: [${shape}]`);
  return { dtype, shape, isBigEndian, isFortran: order === "True", offset, bytes };
}

function elementType(descr: string): { dtype: DType; isBigEndian: boolean } {
  const [, order = "", letter = "", size = ""] = /^([<>|=]?)([a-zA-Z?])(\d*)/.exec(descr) ?? [];
  const name = letter === "?" ? "b1" : `${letter}${size}`;
  const dtype = Object.hasOwn(types, name) ? types[name] : undefined;
  if (!dtype) throw new Error(Object.hasOwn(others, letter) ? `${others[letter]}` : `unknown type ${shown(descr)}`);
  return { dtype, isBigEndian: order === ">" };
}
