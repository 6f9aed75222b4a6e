import { byInterest, cellText, cut, type Frame, frameText } from "../report/danfo.js";
import { type Bundle, escapeHtml } from "./cell.js";

/** How much of a table is shown. */
export interface TableSize {
  /** Rows, from the first; default 20. */
  readonly rows?: number;
  /** Columns, those that tell most; default 12. */
  readonly columns?: number;
}

/** Longer texts are cut in the middle, in narrow tables later; they show in full when the pointer rests on them. */
const longestText = (columns: number): number => (columns > 4 ? 60 : 200);

/** Whole numbers in groups of three digits. */
const htmlText = (value: unknown): string =>
  typeof value === "number" && Number.isInteger(value) ? value.toLocaleString("en") : cellText(value);

function cellHtml(value: unknown, longest: number): string {
  const text = htmlText(value);
  const short = cut(text, longest);
  const title = short === text ? "" : ` title="${escapeHtml(text.slice(0, 1000))}"`;
  return `<td style="text-align:${typeof value === "number" ? "right" : "left"}"${title}>${escapeHtml(short)}</td>`;
}

/** What is there in all, where not all is shown: `152 rows × 28 columns, …`. */
function countText(rows: number, shownRows: number, columns: readonly string[], hidden: readonly string[]): string {
  const shown = shownRows < rows ? `, the first ${shownRows} shown` : "";
  return `${rows} ${rows === 1 ? "row" : "rows"} × ${columns.length} columns${shown}${hidden.length ? `; not shown: ${hidden.join(", ")}` : ""}`;
}

/** A DataFrame as an HTML table: its first rows, the columns that tell most, and how much there is in all. */
export function frameBundle(frame: Frame, size: TableSize = {}): Bundle {
  const { columns, index } = frame;
  const values = frame.values as readonly (readonly unknown[])[];
  const shown = values.slice(0, size.rows ?? 20);
  const taken = byInterest(columns)
    .slice(0, size.columns ?? 12)
    .sort((a, z) => a - z);
  const isNumber = (at: number): boolean => shown.some((row) => typeof row[at] === "number");
  const th = (at: number): string =>
    `<th style="text-align:${isNumber(at) ? "right" : "left"}">${escapeHtml(columns[at] as string)}</th>`;
  const hidden = columns.filter((_, at) => !taken.includes(at));
  const label = (row: number): string => (index ? `<th>${escapeHtml(String(index[row] ?? row))}</th>` : "");
  const body = shown.map(
    (cells, row) =>
      `<tr>${label(row)}${taken.map((at) => cellHtml(cells[at], longestText(taken.length))).join("")}</tr>`,
  );
  const count = countText(values.length, shown.length, columns, hidden);
  return {
    "text/html":
      `<table class="dataframe" border="1"><thead><tr>${index ? "<th></th>" : ""}${taken.map(th).join("")}</tr></thead>` +
      `<tbody>${body.join("")}</tbody></table><p>${escapeHtml(count)}</p>`,
    "text/plain": frameText(frame, columns.length > 12 ? 120 : Number.POSITIVE_INFINITY, size.rows),
  };
}
