// The types of danfo's tables that the library gives out. danfo's own declarations ask for those of mathjs, TensorFlow and
// Plotly and do not compile in strict mode; `test/report/data-frame.test.ts` holds these against danfo's classes.

/** A cell of a table; NaN where nothing is known. */
export type CellValue = number | string | boolean;

/** A row's label. */
export type RowLabel = number | string;

type Axis = { readonly axis?: 0 | 1 };
type InPlace = { readonly inplace?: boolean };
type Operand = DataFrame | Series | number | readonly number[];

/** How `toCSV` writes: the separator (default `,`), whether with a header line, to which file (default none: text). */
export interface CsvOptions {
  readonly sep?: string;
  readonly header?: boolean;
  readonly filePath?: string;
}

/** What a table and a column of it share. */
interface Labelled {
  readonly index: RowLabel[];
  readonly columns: string[];
  readonly dtypes: string[];
  /** Rows and columns; of a Series the rows alone. */
  readonly shape: number[];
  readonly size: number;
  readonly ndim: number;
  print(): void;
  toString(): string;
}

/** A column of a danfo DataFrame (`df["op"]`, `df.column("op")`), or a row's worth of numbers that sums up one. */
export interface Series extends Labelled {
  readonly values: CellValue[];
  head(rows?: number): Series;
  tail(rows?: number): Series;
  iloc(rows: readonly (RowLabel | boolean)[]): Series;
  loc(rows: readonly (RowLabel | boolean)[]): Series;
  sum(): number;
  mean(): number;
  median(): number;
  min(): number;
  max(): number;
  std(): number;
  var(): number;
  count(): number;
  add(other: Series | number): Series;
  sub(other: Series | number): Series;
  mul(other: Series | number): Series;
  div(other: Series | number): Series;
  round(digits?: number): Series;
  abs(): Series;
  cumSum(): Series;
  lt(other: Series | number): Series;
  gt(other: Series | number): Series;
  le(other: Series | number): Series;
  ge(other: Series | number): Series;
  eq(other: Series | CellValue): Series;
  ne(other: Series | CellValue): Series;
  and(other: Series | readonly boolean[] | boolean): Series;
  or(other: Series | readonly boolean[] | boolean): Series;
  isNa(): Series;
  unique(): Series;
  nUnique(): number;
  valueCounts(): Series;
  argMax(): number;
  argMin(): number;
  map(mapper: (value: CellValue, index?: number) => unknown): Series;
  apply(change: (value: CellValue) => unknown): Series;
  copy(): Series;
}

/** The groups of a danfo DataFrame, `df.groupby(["op"])`; `col` picks what is summed up. */
export interface Groups {
  readonly ngroups: number;
  col(columns: string[]): Groups;
  count(): DataFrame;
  sum(): DataFrame;
  mean(): DataFrame;
  min(): DataFrame;
  max(): DataFrame;
  std(): DataFrame;
  var(): DataFrame;
  first(): DataFrame;
  last(): DataFrame;
  size(): DataFrame;
  agg(operations: { [column: string]: string | string[] }): DataFrame;
  getGroup(keys: RowLabel[]): DataFrame;
  apply(change: (group: DataFrame) => DataFrame): DataFrame;
}

/** A danfo DataFrame (danfo.jsdata.org documents it). A column is `df.column("op")` or, untyped, `df["op"]`. */
export interface DataFrame extends Labelled {
  // biome-ignore lint/suspicious/noExplicitAny: columns are properties, as danfo has it; their types are known at run time
  [column: string]: any;
  /** Rows of cells. */
  readonly values: CellValue[][];
  readonly T: DataFrame;
  head(rows?: number): DataFrame;
  tail(rows?: number): DataFrame;
  sample(rows?: number, options?: { readonly seed?: number }): Promise<DataFrame>;
  iloc(at: { rows?: (RowLabel | boolean)[] | Series; columns?: RowLabel[] }): DataFrame;
  loc(at: { rows?: (RowLabel | boolean)[] | Series; columns?: string[] }): DataFrame;
  at(row: RowLabel, column: string): CellValue | undefined;
  iat(row: number, column: number): CellValue | undefined;
  column(name: string): Series;
  selectDtypes(types: string[]): DataFrame;
  query(condition: Series | boolean[]): DataFrame;
  groupby(columns: string[]): Groups;
  /** Missing values come last. */
  sortValues(column: string, options: { readonly ascending?: boolean; readonly inplace: true }): undefined;
  sortValues(column: string, options?: { readonly ascending?: boolean; readonly inplace?: false }): DataFrame;
  sortIndex(options?: { readonly ascending?: boolean } & InPlace): DataFrame;
  setIndex(options: { index?: RowLabel[]; column?: string; drop?: boolean; inplace?: boolean }): DataFrame;
  resetIndex(options?: InPlace): DataFrame;
  addColumn(name: string, values: Series | CellValue[], options?: { atIndex?: RowLabel } & InPlace): DataFrame;
  drop(options: { columns?: string | string[]; index?: RowLabel[]; inplace?: boolean }): DataFrame;
  rename(names: { [from: RowLabel]: RowLabel }, options?: Axis & InPlace): DataFrame;
  append(rows: DataFrame | CellValue[][], index: RowLabel | RowLabel[], options?: InPlace): DataFrame;
  describe(): DataFrame;
  count(options?: Axis): Series;
  sum(options?: Axis): Series;
  mean(options?: Axis): Series;
  median(options?: Axis): Series;
  min(options?: Axis): Series;
  max(options?: Axis): Series;
  std(options?: Axis): Series;
  var(options?: Axis): Series;
  nUnique(axis?: 0 | 1): Series;
  add(other: Operand, options?: Axis & InPlace): DataFrame;
  sub(other: Operand, options?: Axis & InPlace): DataFrame;
  mul(other: Operand, options?: Axis & InPlace): DataFrame;
  div(other: Operand, options?: Axis & InPlace): DataFrame;
  round(digits: number): DataFrame;
  isNa(): DataFrame;
  fillNa(value: CellValue | CellValue[], options?: { columns?: string[] } & InPlace): DataFrame;
  dropNa(options?: { axis: 0 | 1; inplace?: boolean }): DataFrame;
  replace(from: CellValue, to: CellValue, options?: { columns?: string[] } & InPlace): DataFrame;
  asType(column: string, type: "float32" | "int32" | "string" | "boolean", options?: InPlace): DataFrame;
  // biome-ignore lint/suspicious/noExplicitAny: what a row or column is given to decides its type
  apply(change: (values: any) => unknown, options?: Axis): DataFrame | Series;
  // biome-ignore lint/suspicious/noExplicitAny: the same of a cell
  applyMap(change: (value: any) => unknown, options?: InPlace): DataFrame;
  copy(): DataFrame;
  /** Text with a header line; nothing where it goes to a file. Cells are quoted where they have to be. */
  toCSV(options?: CsvOptions): string | undefined;
  toJSON(options?: { readonly format?: "column" | "row"; readonly filePath?: string }): object | undefined;
}

/** What a table is made of besides cells. */
export interface FrameOptions {
  readonly columns?: string[];
  readonly index?: RowLabel[];
  readonly dtypes?: string[];
  readonly config?: object;
}

/** What of danfo's module is used here. */
export interface Danfo {
  readonly DataFrame: new (data: unknown, options?: FrameOptions) => DataFrame;
  readonly Series: new (data: unknown, options?: FrameOptions) => Series;
  toCSV(frame: DataFrame, options?: CsvOptions): string | undefined;
}
