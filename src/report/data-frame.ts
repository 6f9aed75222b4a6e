// The types of danfo's tables that the library gives out. danfo's own declarations ask for those of mathjs, TensorFlow and
// Plotly and do not compile in strict mode; `test/report/data-frame.test.ts` holds these against danfo's classes.

/** A cell of a table; NaN where nothing is known. */
export type CellValue = number | string | boolean;

/** A row's label. */
export type RowLabel = number | string;

/** Along which axis: 0 down the columns, 1 along the rows. */
export type Axis = { readonly axis?: 0 | 1 };
/** In place of this table, or as another one (the default). */
export type InPlace = { readonly inplace?: boolean };
/** What is added to a table and the like. */
export type Operand = DataFrame | Series | number | readonly number[];

/** How `toCSV` writes: the separator (default `,`), whether with a header line, to which file (default none: text). */
export interface CsvOptions {
  readonly sep?: string;
  readonly header?: boolean;
  readonly filePath?: string;
}

/** What a table and a column of it share. */
export interface Labelled {
  /** Labels of the rows. */
  readonly index: RowLabel[];
  /** Names of the columns. */
  readonly columns: string[];
  /** Types of the columns. */
  readonly dtypes: string[];
  /** Rows and columns; of a Series the rows alone. */
  readonly shape: number[];
  /** How many cells there are; of groups, rows of each. */
  readonly size: number;
  /** 1 of a Series, 2 of a table. */
  readonly ndim: number;
  /** Prints it. */
  print(): void;
  /** What `print` prints. */
  toString(): string;
}

/** A column of a danfo DataFrame (`df["op"]`, `df.column("op")`), or a row's worth of numbers that sums up one. */
export interface Series extends Labelled {
  /** The values. */
  readonly values: CellValue[];
  /** The first rows, default 5. */
  head(rows?: number): Series;
  /** The last rows, default 5. */
  tail(rows?: number): Series;
  /** Rows and columns by position. */
  iloc(rows: readonly (RowLabel | boolean)[]): Series;
  /** Rows and columns by label. */
  loc(rows: readonly (RowLabel | boolean)[]): Series;
  /** The sum. */
  sum(): number;
  /** The mean. */
  mean(): number;
  /** The median. */
  median(): number;
  /** The least. */
  min(): number;
  /** The greatest. */
  max(): number;
  /** The standard deviation, of a sample. */
  std(): number;
  /** The variance, of a sample. */
  var(): number;
  /** How many values there are; missing ones are not counted. */
  count(): number;
  /** The sum with numbers, value by value. */
  add(other: Series | number): Series;
  /** The difference from numbers, value by value. */
  sub(other: Series | number): Series;
  /** The product with numbers, value by value. */
  mul(other: Series | number): Series;
  /** The quotient by numbers, value by value. */
  div(other: Series | number): Series;
  /** Rounded to so many digits behind the point. */
  round(digits?: number): Series;
  /** Values without their signs. */
  abs(): Series;
  /** Running sums. */
  cumSum(): Series;
  /** Where a value is less. */
  lt(other: Series | number): Series;
  /** Where a value is greater. */
  gt(other: Series | number): Series;
  /** Where a value is less or equal. */
  le(other: Series | number): Series;
  /** Where a value is greater or equal. */
  ge(other: Series | number): Series;
  /** Where a value is the same: a condition for `query`. */
  eq(other: Series | CellValue): Series;
  /** Where a value is another. */
  ne(other: Series | CellValue): Series;
  /** Where both conditions hold. */
  and(other: Series | readonly boolean[] | boolean): Series;
  /** Where one of two conditions holds. */
  or(other: Series | readonly boolean[] | boolean): Series;
  /** Where a value is missing. */
  isNa(): Series;
  /** Each value once. */
  unique(): Series;
  /** How many values differ. */
  nUnique(): number;
  /** How often each value is there. */
  valueCounts(): Series;
  /** The position of the greatest. */
  argMax(): number;
  /** The position of the least. */
  argMin(): number;
  /** What a function makes of each value. */
  map(mapper: (value: CellValue, index?: number) => unknown): Series;
  /** What a function makes of each value; of a table, of each row or column; of groups, of each. */
  apply(change: (value: CellValue) => unknown): Series;
  /** Another one with the same values. */
  copy(): Series;
}

/** The groups of a danfo DataFrame, `df.groupby(["op"])`; `col` picks what is summed up. */
export interface Groups {
  /** How many groups there are. */
  readonly ngroups: number;
  /** Picks the columns to sum up; default all. */
  col(columns: string[]): Groups;
  /** How many values there are; missing ones are not counted. */
  count(): DataFrame;
  /** The sum. */
  sum(): DataFrame;
  /** The mean. */
  mean(): DataFrame;
  /** The least. */
  min(): DataFrame;
  /** The greatest. */
  max(): DataFrame;
  /** The standard deviation, of a sample. */
  std(): DataFrame;
  /** The variance, of a sample. */
  var(): DataFrame;
  /** The first row of each group. */
  first(): DataFrame;
  /** The last row of each group. */
  last(): DataFrame;
  /** Rows of each group. */
  size(): DataFrame;
  /** By column, what to make of it: `{ ms: ["mean", "sum"] }`. */
  agg(operations: { [column: string]: string | string[] }): DataFrame;
  /** The rows of one group. */
  getGroup(keys: RowLabel[]): DataFrame;
  /** What a function makes of each value; of a table, of each row or column; of groups, of each. */
  apply(change: (group: DataFrame) => DataFrame): DataFrame;
}

/** A danfo DataFrame (danfo.jsdata.org documents it). A column is `df.column("op")` or, untyped, `df["op"]`. */
export interface DataFrame extends Labelled {
  // biome-ignore lint/suspicious/noExplicitAny: columns are properties, as danfo has it; their types are known at run time
  [column: string]: any;
  /** Rows of cells. */
  readonly values: CellValue[][];
  /** Rows as columns. */
  readonly T: DataFrame;
  /** The first rows, default 5. */
  head(rows?: number): DataFrame;
  /** The last rows, default 5. */
  tail(rows?: number): DataFrame;
  /** Rows drawn by chance. */
  sample(rows?: number, options?: { readonly seed?: number }): Promise<DataFrame>;
  /** Rows and columns by position. */
  iloc(at: { rows?: (RowLabel | boolean)[] | Series; columns?: RowLabel[] }): DataFrame;
  /** Rows and columns by label. */
  loc(at: { rows?: (RowLabel | boolean)[] | Series; columns?: string[] }): DataFrame;
  /** A cell by labels. */
  at(row: RowLabel, column: string): CellValue | undefined;
  /** A cell by positions. */
  iat(row: number, column: number): CellValue | undefined;
  /** A column. */
  column(name: string): Series;
  /** The columns of some types. */
  selectDtypes(types: string[]): DataFrame;
  /** The rows for which a condition holds. */
  query(condition: Series | boolean[]): DataFrame;
  /** Rows grouped by what is in columns. */
  groupby(columns: string[]): Groups;
  /** Missing values come last. */
  sortValues(column: string, options: { readonly ascending?: boolean; readonly inplace: true }): undefined;
  /** Missing values come last. */
  sortValues(column: string, options?: { readonly ascending?: boolean; readonly inplace?: false }): DataFrame;
  /** Sorted by label. */
  sortIndex(options?: { readonly ascending?: boolean } & InPlace): DataFrame;
  /** With other labels of rows. */
  setIndex(options: { index?: RowLabel[]; column?: string; drop?: boolean; inplace?: boolean }): DataFrame;
  /** With labels from 0. */
  resetIndex(options?: InPlace): DataFrame;
  /** With a column more. */
  addColumn(name: string, values: Series | CellValue[], options?: { atIndex?: RowLabel } & InPlace): DataFrame;
  /** Without columns or rows. */
  drop(options: { columns?: string | string[]; index?: RowLabel[]; inplace?: boolean }): DataFrame;
  /** With other names of columns (axis 1) or rows. */
  rename(names: { [from: RowLabel]: RowLabel }, options?: Axis & InPlace): DataFrame;
  /** With rows more. */
  append(rows: DataFrame | CellValue[][], index: RowLabel | RowLabel[], options?: InPlace): DataFrame;
  /** Count, mean, spread and range of each column of numbers. */
  describe(): DataFrame;
  /** How many values there are; missing ones are not counted. */
  count(options?: Axis): Series;
  /** The sum. */
  sum(options?: Axis): Series;
  /** The mean. */
  mean(options?: Axis): Series;
  /** The median. */
  median(options?: Axis): Series;
  /** The least. */
  min(options?: Axis): Series;
  /** The greatest. */
  max(options?: Axis): Series;
  /** The standard deviation, of a sample. */
  std(options?: Axis): Series;
  /** The variance, of a sample. */
  var(options?: Axis): Series;
  /** How many values differ. */
  nUnique(axis?: 0 | 1): Series;
  /** The sum with numbers, value by value. */
  add(other: Operand, options?: Axis & InPlace): DataFrame;
  /** The difference from numbers, value by value. */
  sub(other: Operand, options?: Axis & InPlace): DataFrame;
  /** The product with numbers, value by value. */
  mul(other: Operand, options?: Axis & InPlace): DataFrame;
  /** The quotient by numbers, value by value. */
  div(other: Operand, options?: Axis & InPlace): DataFrame;
  /** Rounded to so many digits behind the point. */
  round(digits: number): DataFrame;
  /** Where a value is missing. */
  isNa(): DataFrame;
  /** With something in place of missing values. */
  fillNa(value: CellValue | CellValue[], options?: { columns?: string[] } & InPlace): DataFrame;
  /** Without rows (axis 1) or columns that lack a value. */
  dropNa(options?: { axis: 0 | 1; inplace?: boolean }): DataFrame;
  /** With a value in place of another. */
  replace(from: CellValue, to: CellValue, options?: { columns?: string[] } & InPlace): DataFrame;
  /** With a column of another type. */
  asType(column: string, type: "float32" | "int32" | "string" | "boolean", options?: InPlace): DataFrame;
  /** What a function makes of each value; of a table, of each row or column; of groups, of each. */
  // biome-ignore lint/suspicious/noExplicitAny: what a row or column is given to decides its type
  apply(change: (values: any) => unknown, options?: Axis): DataFrame | Series;
  /** What a function makes of each cell. */
  // biome-ignore lint/suspicious/noExplicitAny: the same of a cell
  applyMap(change: (value: any) => unknown, options?: InPlace): DataFrame;
  /** Another one with the same values. */
  copy(): DataFrame;
  /** Text with a header line; nothing where it goes to a file. Cells are quoted where they have to be. */
  toCSV(options?: CsvOptions): string | undefined;
  /** Objects of rows, or of columns. */
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
