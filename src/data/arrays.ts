import { type DType, elementCount, isFloat } from "../graph/graph.js";
import type { Numbers } from "./batch.js";
import type { DataColumn, Dataset } from "./dataset.js";
import { bytesIn, dtypeOf, type TypedNumbers, typedZeros } from "./numbers.js";
import { heldArray, type Rows, rowsOf } from "./stored.js";

/**
 * Which columns of the data a step's tensors take: by the tensor's name (or `input`, `target`) the column's name, or those
 * of several, whose numbers are set side by side. What is not named is left out, but of a table (`TableOptions`).
 */
export type ColumnChoice = Readonly<Record<string, string | readonly string[]>>;

/** What is made of arrays. */
export interface ArrayOptions {
  readonly columns?: ColumnChoice | undefined;
  readonly classes?: readonly string[] | undefined;
  /** What whole numbers, as bytes of images are, are multiplied by where an input of floats takes them. */
  readonly scale?: number | undefined;
}

/** Samples of several arrays as one dataset. */
export interface ArrayData extends ArrayOptions {
  readonly name: string;
  readonly rows: ReadonlyMap<string, Rows>;
  /** The names of all that could be chosen, where `rows` are those chosen; default theirs. */
  readonly fields?: readonly string[];
  readonly at?: (index: number) => string;
  readonly isFlat?: boolean;
  readonly close?: () => void;
}

/** The names that a choice takes of what there is. Throws for one that is not there. */
export function chosenNames(columns: ColumnChoice | undefined, there: readonly string[], name: string): string[] {
  if (!columns) return [...there];
  const chosen = Object.values(columns).flat();
  for (const column of chosen)
    if (!there.includes(column)) throw new Error(`no column ${column} in ${name}; there ${areNames(there)}`);
  return [...new Set(chosen)];
}

/** Names are listed as far as they take so many characters, three in any case. */
const mostListed = 100;

/** Names as the end of a sentence: `is none`, `is a`, `are a, b, c`, `are a, b, c, … (12 in all)`. */
export function areNames(names: readonly string[]): string {
  const listed = names.filter((_, i) => i < 3 || names.slice(0, i + 1).join(", ").length <= mostListed);
  if (names.length === 0) return "is none";
  const rest = listed.length < names.length ? `, … (${names.length} in all)` : "";
  return `${names.length === 1 ? "is" : "are"} ${listed.join(", ")}${rest}`;
}

/** A dataset of arrays with as many samples each. Throws if they differ, if there is none, or it has no samples. */
export function arrayDataset(data: ArrayData): Dataset {
  const { name, rows, columns, classes, scale, at, isFlat, close, fields = [...rows.keys()] } = data;
  const names = chosenNames(columns, [...rows.keys()], name);
  if (scale !== undefined && (!Number.isFinite(scale) || scale === 0))
    throw new Error(`scale of data is no number beside 0: ${scale} (${name})`);
  const [first] = names;
  if (first === undefined) throw new Error(`no arrays in ${name}`);
  const of = (column: string): Rows => rows.get(column) as Rows;
  const { count } = of(first);
  const other = names.find((column) => of(column).count !== count);
  if (other !== undefined)
    throw new Error(
      `columns of different length in ${name}: ${first} ${count}, ${other} ${of(other).count}; choose by columns which are meant`,
    );
  if (count === 0) throw new Error(`no samples in ${name}`);
  const choice = columns ?? Object.fromEntries(names.map((column) => [column, column]));
  const parts = new Map(
    Object.entries(choice).map(([tensor, chosen]) => [tensor, [chosen].flat().map((column) => of(column))]),
  );
  for (const [tensor, of] of parts) checkSideBySide(tensor, of, name);
  return {
    name,
    count,
    fields,
    columns: Object.entries(choice).map(([tensor, chosen]) =>
      columnOf(tensor, [chosen].flat().map(of), { source: [chosen].flat().join("+"), scale, isFlat }),
    ),
    ...(classes && { classes }),
    ...(at && { at }),
    read: (column, indices, into) => {
      const found = parts.get(column);
      if (!found) throw new Error(`no column ${column} in ${name}; there ${areNames([...parts.keys()])}`);
      const [only] = found;
      return only && found.length === 1 ? only.read(indices, into) : sideBySide(found, indices, into);
    },
    close: close ?? (() => undefined),
  };
}

function columnOf(
  name: string,
  rows: readonly Rows[],
  { source, scale, isFlat }: Pick<ArrayData, "scale" | "isFlat"> & { readonly source: string },
): DataColumn {
  const { dtype, shape } = rows[0] as Rows;
  return {
    name,
    dtype,
    shape: rows.length === 1 ? shape : [rows.reduce((sum, one) => sum + elementCount(one.shape), 0)],
    ...((isFlat || rows.length > 1) && { isFlat: true }),
    ...(scale !== undefined && !isFloat(dtype) && { scale }),
    ...(source !== name && { source }),
  };
}

function checkSideBySide(tensor: string, rows: readonly Rows[], name: string): void {
  if (rows.length === 0) throw new Error(`no columns chosen for ${tensor} (${name})`);
  const types = [...new Set(rows.map(({ dtype }) => dtype))];
  if (types.length > 1) throw new Error(`columns of different types for ${tensor}: ${types.join(", ")} (${name})`);
}

/** The elements of several columns of a sample, one behind the other. */
async function sideBySide(
  rows: readonly Rows[],
  indices: Int32Array | readonly number[],
  into: Numbers | undefined,
): Promise<TypedNumbers> {
  const { dtype } = rows[0] as Rows;
  const width = rows.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const given = Array.isArray(into) ? undefined : (into as TypedNumbers | undefined);
  const out = given ?? typedZeros(dtype, width * indices.length);
  const bytes = bytesIn(out);
  const stride = bytes.length / Math.max(indices.length, 1);
  let start = 0;
  for (const one of rows) {
    const part = bytesIn(await one.read(indices));
    const size = part.length / Math.max(indices.length, 1);
    for (let i = 0; i < indices.length; i++) bytes.set(part.subarray(i * size, (i + 1) * size), i * stride + start);
    start += size;
  }
  return out;
}

/** An array in memory; dimension 0 counts samples. */
export interface HeldArray {
  readonly shape: readonly number[];
  readonly data: Numbers;
  /** Default what the typed array holds: a list float64, a Uint16Array uint16, a Uint8Array uint8. */
  readonly dtype?: DType;
}

/**
 * Arrays in memory as a dataset: a column each, as in an .npz. Throws for one whose elements are not those of its shape, as
 * `openData` does else.
 */
export function arrayData(
  arrays: Readonly<Record<string, HeldArray>>,
  options: ArrayOptions & { readonly name?: string } = {},
): Dataset {
  const { name = "arrays" } = options;
  const rows = new Map(
    Object.entries(arrays).map(([column, { shape, data, dtype }]) => {
      const numbers = Array.isArray(data) ? Float64Array.from(data) : (data as TypedNumbers);
      if (shape.length === 0 || numbers.length !== elementCount(shape))
        throw new Error(`${column} of ${name} has ${numbers.length} elements, not [${shape}]`);
      const own = dtypeOf(numbers);
      if (dtype !== undefined && typedZeros(dtype, 0).constructor !== numbers.constructor)
        throw new Error(`${column} of ${name} holds ${own}, not ${dtype}`);
      return [column, rowsOf(heldArray(dtype ?? own, shape, numbers), name)];
    }),
  );
  return arrayDataset({ ...options, name, rows });
}
