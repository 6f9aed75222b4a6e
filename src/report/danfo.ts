import { writeFileSync } from "node:fs";
import { inspect } from "node:util";
import { ownPath } from "../root.js";
import { csvText } from "./csv.js";
import type { CsvOptions, Danfo, DataFrame } from "./data-frame.js";

/** What of a danfo DataFrame is needed to show it. */
export interface Frame {
  readonly columns: readonly string[];
  /** Rows of values. */
  readonly values: unknown;
  readonly index?: readonly (string | number)[];
}

/** More rows than this are not printed. */
const printedRows = 20;

/** Wider cells are cut in the middle, in narrow tables later: the ends of names tell more than the rest. */
const widestCell = (columns: number): number => (columns > 4 ? 36 : 80);

/** Columns that say most of a run's tables: printed first where not all have room. */
const telling = [
  ...["rank", "node_name", "activation_name", "op", "phase", "median_run_time_ms", "memory_size_bytes", "decision"],
  ...["peak_mem_bytes", "inactive_time_ms", "recomp_time_ms", "recompute_ratio_bytes_per_ms", "module"],
];

/** A cell as text: whole numbers (bytes, ranks) exact, others in six digits, nothing where nothing is known. */
export const cellText = (value: unknown): string => {
  if (Number.isNaN(value)) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return Array.isArray(value) ? value.join(", ") : String(value ?? "");
};

/** A text on one line, cut in the middle to a number of characters. */
export function cut(text: string, width: number): string {
  const line = text.replace(/\s+/g, " ");
  if (line.length <= width) return line;
  const head = Math.floor((width - 1) / 3);
  return `${line.slice(0, head)}…${line.slice(line.length - (width - 1 - head))}`;
}

/** Columns by what they tell: those of `telling` in its order, then the others from the left. */
export function byInterest(names: readonly string[]): number[] {
  const rank = (name: string): number => {
    const at = telling.indexOf(name.replace(/^estimated_/, ""));
    return at < 0 ? telling.length : at;
  };
  return names.map((_, at) => at).sort((a, z) => rank(names[a] as string) - rank(names[z] as string));
}

/** The columns that have room, in their order: those that tell most first. */
function chosen(names: readonly string[], widths: readonly number[], room: number): number[] {
  let left = room;
  const taken: number[] = [];
  for (const at of byInterest(names)) {
    const width = (widths[at] as number) + 2;
    if (width > left && taken.length) continue;
    taken.push(at);
    left -= width;
  }
  return taken.sort((a, z) => a - z);
}

/**
 * A DataFrame as lines of text: the first rows, as many columns as the width has room for, numbers to the right, then how
 * much there is in all.
 */
export function frameText(frame: Frame, width = process.stdout.columns ?? 120, most = printedRows): string {
  const { columns, values, index } = frame;
  const all = values as readonly (readonly unknown[])[];
  const shown = all.slice(0, most);
  const texts = shown.map((row) => row.map((value) => cut(cellText(value), widestCell(columns.length))));
  const isNumber = columns.map((_, at) => shown.some((row) => typeof row[at] === "number" && !Number.isNaN(row[at])));
  const widths = columns.map((name, at) =>
    texts.reduce((most, row) => Math.max(most, row[at]?.length ?? 0), name.length),
  );
  const labels = shown.map((_, at) => String(index?.[at] ?? at));
  const labelWidth = labels.reduce((most, label) => Math.max(most, label.length), 0);
  const taken = chosen(columns, widths, width - labelWidth);
  const line = (label: string, cells: readonly string[]): string => {
    const padded = taken.map((at) => {
      const text = cells[at] ?? "";
      return isNumber[at] ? text.padStart(widths[at] as number) : text.padEnd(widths[at] as number);
    });
    return [label.padStart(labelWidth), ...padded].join("  ").trimEnd();
  };
  const hidden = columns.filter((_, at) => !taken.includes(at));
  return [
    line("", columns),
    ...texts.map((row, at) => line(labels[at] as string, row)),
    `${all.length} rows × ${columns.length} columns${all.length > shown.length ? `, the first ${shown.length} rows` : ""}`,
    ...(hidden.length ? [cut(`not shown: ${hidden.join(", ")}`, Math.max(width, 60))] : []),
  ].join("\n");
}

/** Ascending order: numbers by value, texts by letters, what is missing last whichever way it is sorted. */
function order(a: unknown, z: unknown, ascending: boolean): number {
  const isMissing = (value: unknown): boolean => value === null || value === undefined || Number.isNaN(value);
  if (isMissing(a) || isMissing(z)) return Number(isMissing(a)) - Number(isMissing(z));
  const sign = ascending ? 1 : -1;
  if (a === z) return 0;
  return (a as number) < (z as number) ? -sign : sign;
}

/**
 * What danfo 1.2.0 does otherwise than its documentation says, set right on its own class, so that frames made from
 * frames have it too:
 * - `print`, `toString` and `console.log` show seven columns of sixteen letters, or nothing in a narrow terminal;
 * - `sortValues` takes time with the square of the rows, and leaves missing values in between;
 * - `toCSV` quotes nothing: a comma, a quote or a line in a cell breaks the file;
 * - a column called `shape` or `index` takes the place of the table's own, and `head` of the table is empty;
 * - `eq` and `ne` of a Series refuse true and false.
 * Not set right: `groupby` gives NaN for a group with a missing value (`query` it away before), and joins the keys of two
 * columns by `-`.
 */
function repair(dfd: Danfo): void {
  // frames made from frames are of the class below
  for (const own of [dfd.DataFrame.prototype, Object.getPrototypeOf(dfd.DataFrame.prototype)]) {
    const frames = own as Record<string | symbol, unknown>;
    frames.toString = function (this: DataFrame): string {
      return frameText(this as unknown as Frame);
    };
    Object.defineProperty(frames, inspect.custom, { value: frames.toString, configurable: true });
    Object.assign(frames, { sortValues, toCSV, $setInternalColumnDataProperty: nameColumns });
  }
  const writeCsv = (frame: DataFrame, options?: CsvOptions) => toCSV.call(frame, options);
  Object.defineProperty(dfd, "toCSV", { value: writeCsv, enumerable: true, configurable: true });
  const series = Object.getPrototypeOf(dfd.Series.prototype) as Record<string, unknown>;
  for (const name of ["eq", "ne"]) {
    const compare = series[name] as (this: unknown, other: unknown, options?: object) => unknown;
    series[name] = function (this: { readonly values: readonly unknown[] }, other: unknown, options?: object): unknown {
      // danfo compares texts: a Series of those
      if (typeof other !== "boolean") return compare.call(this, other, options);
      return compare.call(new dfd.Series(this.values.map(String)), String(other), options);
    };
  }
}

/** `df["op"]` for each column, or for one: those that have a name of the table's own are `df.column("shape")` only. */
function nameColumns(this: DataFrame, column?: string): void {
  const own = Object.getPrototypeOf(this) as object;
  for (const name of column === undefined ? this.columns : [column]) {
    if (name in own) continue;
    const get = (): unknown => this.column(name);
    const set = (values: unknown): void => this.$setColumnData(name, values);
    Object.defineProperty(this, name, { get, set, configurable: true });
  }
}

/** `df.sortValues(column, {ascending, inplace})`. Throws as danfo does for a column that is not there. */
function sortValues(
  this: DataFrame,
  column: string,
  { ascending = true, inplace = false }: { readonly ascending?: boolean; readonly inplace?: boolean } = {},
): DataFrame | undefined {
  const at = this.columns.indexOf(column);
  if (at < 0) throw new Error(`ParamError: specified column "${column}" not found in columns`);
  const rows = this.values as unknown[][];
  const ranks = rows.map((_, rank) => rank).sort((a, z) => order(rows[a]?.[at], rows[z]?.[at], ascending));
  const values = ranks.map((rank) => rows[rank] as unknown[]);
  const index = ranks.map((rank) => this.index[rank] as string | number);
  if (inplace) {
    this.$setValues(values as never);
    this.$setIndex(index);
    return undefined;
  }
  const { columns, dtypes, config } = this;
  const Same = this.constructor as new (values: unknown, options: object) => DataFrame;
  // danfo makes no frame of no rows with types
  const types = rows.length ? { dtypes: [...dtypes] } : {};
  return new Same(values, { index, columns: [...columns], ...types, config: { ...config } });
}

/** `df.toCSV({sep, header, filePath})`: text, or nothing where it goes to a file. */
function toCSV(this: DataFrame, { sep = ",", header = true, filePath }: CsvOptions = {}): string | undefined {
  const isNone = (value: unknown): boolean => value === null || value === undefined || Number.isNaN(value);
  const rows = this.values as unknown[][];
  const columns = this.columns.map((_, column) => rows.map((row) => (isNone(row[column]) ? "" : row[column])));
  const text = csvText({ fields: [...this.columns], columns }, { delimiter: sep, header });
  if (filePath === undefined) return text;
  writeFileSync(filePath.endsWith(".csv") ? filePath : `${filePath}.csv`, text);
  return undefined;
}

let loaded: Danfo | undefined;

/** danfo, loaded and set right when the first table is made: it takes most of a second. */
export function danfo(): Danfo {
  if (loaded) return loaded;
  const dfd = require(ownPath("dist/vendor/danfo.cjs")) as Danfo & {
    tensorflow: { env(): { set(name: string, value: boolean): void } };
  };
  dfd.tensorflow.env().set("PROD", true); // no banner on stderr
  repair(dfd);
  loaded = dfd;
  return dfd;
}
