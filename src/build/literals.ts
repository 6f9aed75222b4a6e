import {
  type Attribute,
  type Category,
  categories,
  type DType,
  dtypes,
  elementCount,
  type Tensor,
  type TensorType,
} from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import type { Reader } from "./reader.js";

const dtypeNames: ReadonlySet<string> = new Set(dtypes);

const categoryNames: ReadonlySet<string> = new Set(categories);

const isInt = (text: string): boolean => /^[-+]?\d+$/.test(text);

const numberOf = (text: string): number => Number(text.replace("inf", "Infinity").replace("nan", "NaN"));

/** A category if one stands before a name or type. */
export function readCategory(reader: Reader): Category | undefined {
  if (reader.take("optimizer", "state")) return "optimizer state";
  if (!categoryNames.has(reader.peek().text) || reader.startsName()) return undefined;
  return reader.next().text as Category;
}

/** Whether a type follows. */
export const startsType = (reader: Reader): boolean =>
  dtypeNames.has(reader.peek().text) && reader.peek(1).text === "[";

/** `float32[32,10]`. */
export function readType(reader: Reader): TensorType {
  if (!startsType(reader)) reader.fail("a type");
  return { dtype: reader.next().text as DType, shape: reader.list("[", "]", () => reader.count()) };
}

/** The data in braces, little-endian; undefined if they were left out when the text was written. */
export function readData(reader: Reader, type: TensorType): Uint8Array | undefined {
  const { line } = reader.peek();
  if (reader.take("{", "...")) {
    reader.expect("}");
    return undefined;
  }
  const written = reader.list("{", "}", () => reader.number());
  const count = elementCount(type.shape);
  if (written.length !== count && written.length !== 1)
    throw new Error(`shape mismatch: ${written.length} values for ${type.dtype}[${type.shape}] (line ${line})`);
  const list = written.length === count ? written : new Array<string>(count).fill(written[0] as string);
  const whole = type.dtype === "int64" ? BigInt64Array : type.dtype === "uint64" ? BigUint64Array : undefined;
  if (!whole) return bytesOf(type.dtype, list.map(numberOf));
  if (!list.every(isInt)) throw new Error(`not an integer: ${list} (line ${line})`);
  return new Uint8Array(whole.from(list.map((x) => BigInt(x.replace("+", "")))).buffer);
}

/** An attribute's value; its type is the one that it is written in. */
export function readAttribute(reader: Reader): Attribute {
  const token = reader.peek();
  if (token.kind === "string") return { type: "string", value: reader.name() };
  if (startsType(reader)) {
    const type = readType(reader);
    const data = readData(reader, type);
    return data ? { type: "tensor", value: { ...type, data } } : reader.fail("data", token);
  }
  const empty = reader.take("floats") ? "floats" : reader.take("strings") ? "strings" : "ints";
  if (reader.peek().text !== "[") {
    const number = reader.number();
    return isInt(number) ? { type: "int", value: Number(number) } : { type: "float", value: numberOf(number) };
  }
  if (reader.peek(1).kind === "string") return { type: "strings", value: reader.list("[", "]", () => reader.name()) };
  const numbers = reader.list("[", "]", () => reader.number());
  if (numbers.length === 0) return { type: empty, value: [] };
  const value = numbers.map(numberOf);
  return empty === "ints" && numbers.every(isInt) ? { type: "ints", value } : { type: "floats", value };
}

/** What stands behind a tensor's name: `within flat+0`, `on host`, `range [0,10]`. */
export function readPlace(reader: Reader): Pick<Tensor, "within" | "host" | "range"> {
  const within = reader.take("within") ? { tensor: reader.name(), offsetBytes: reader.count() } : undefined;
  const isHost = reader.take("on");
  if (isHost) reader.expect("host");
  const range = reader.take("range") ? reader.list("[", "]", () => numberOf(reader.number())) : undefined;
  if (range && range.length !== 2) reader.fail("two numbers");
  return {
    ...(within ? { within } : {}),
    ...(isHost ? { host: true } : {}),
    ...(range ? { range: [range[0] as number, range[1] as number] } : {}),
  };
}
