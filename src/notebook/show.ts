import { randomUUID } from "node:crypto";
import type { Frame } from "../report/danfo.js";
import { type Bundle, display } from "./cell.js";
import { type AnyFigure, figureBundle } from "./figure.js";
import { bundle, shownMark } from "./mime.js";
import { frameBundle } from "./table.js";

/** What a cell that ends with it does not show once more. */
const alreadyShown = { [shownMark]: true };

/** A figure below a cell. */
export interface ShownFigure {
  /** Puts another figure in its place: while something runs, a curve grows so. */
  update(figure: AnyFigure): void;
}

/**
 * Shows a Plotly figure below the cell: live, with a still picture where no script runs; the first figure of a notebook
 * brings the library for all. A figure that is a cell's last expression shows itself. Throws `not in a notebook: showFigure`.
 */
export function showFigure(figure: AnyFigure): ShownFigure {
  const id = randomUUID();
  display(figureBundle(figure), "showFigure", { id, update: false });
  return { update: (next) => display(figureBundle(next), "showFigure", { id, update: true }), ...alreadyShown };
}

/** A table below a cell. */
export interface ShownTable {
  /** Puts another table in its place: while something runs, rows come so. */
  update(table: Frame | readonly object[]): void;
}

/**
 * Shows the first rows of a danfo DataFrame, or of row objects (the first one names the columns), as a table below the
 * cell, with all columns. A DataFrame that is a cell's last expression shows itself. Throws `not in a notebook: showTable`.
 */
export function showTable(table: Frame | readonly object[], rowCount = 20): ShownTable {
  const id = randomUUID();
  display(tableBundle(table, rowCount), "showTable", { id, update: false });
  return {
    update: (next) => display(tableBundle(next, rowCount), "showTable", { id, update: true }),
    ...alreadyShown,
  };
}

function tableBundle(table: Frame | readonly object[], rows: number): Bundle {
  const isFrame = !Array.isArray(table);
  const columns = isFrame ? (table as Frame).columns : Object.keys((table as readonly object[])[0] ?? {});
  const values = isFrame
    ? (table as Frame).values
    : (table as readonly Readonly<Record<string, unknown>>[]).map((row) => columns.map((column) => row[column]));
  const frame = { columns, values, index: isFrame ? (table as Frame).index : undefined };
  return frameBundle(frame, { rows, columns: columns.length });
}

/**
 * Shows any value below the cell as it shows itself at the cell's end: a run or plan as a card, a figure, a table, text.
 * Throws `not in a notebook: show`.
 */
export function show(value: unknown): void {
  display(bundle(value), "show");
}
