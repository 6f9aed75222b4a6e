import type { Column, IntegerProgram, Row } from "./solver.js";

/** An integer program in the making. */
export class Rows implements IntegerProgram {
  readonly columns: Column[] = [];
  readonly rows: Row[] = [];

  /** Adds a column; returns its number. */
  column(column: Column): number {
    return this.columns.push(column) - 1;
  }

  /** The terms' sum is `least` at least. */
  row(terms: Iterable<readonly [column: number, factor: number]>, least: number): void {
    this.rows.push({ terms: [...terms], least });
  }

  /** Where column a is 1, column z is so too. */
  implies(a: number, z: number): void {
    if (a !== z)
      this.row(
        [
          [z, 1],
          [a, -1],
        ],
        0,
      );
  }
}

/** So many of a list, evenly spread, the first and the last among them. */
export const spread = <T>(list: readonly T[], count: number): T[] =>
  list.length <= count
    ? [...list]
    : Array.from({ length: count }, (_, i) => list[Math.round((i * (list.length - 1)) / (count - 1))] as T);
