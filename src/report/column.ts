import type { Run } from "../run/run.js";

/** What a cell holds. */
export type Cell = string | number | boolean | null;

/** One column of a table: its name in CSV files and DataFrames (with the unit), its title for people, its value. */
export interface Column<Row> {
  readonly name: string;
  readonly title: string;
  /** How a report writes the value. */
  readonly kind: "text" | "number" | "count" | "bytes" | "ms" | "ratio" | "percent" | "yes";
  readonly value: (row: Row, run: Run) => Cell;
}
