import Papa from "papaparse";

/** What a spreadsheet would run as a formula; with apostrophes before it, so that reading takes off what writing has put. */
const formula = /^'*[=+\-@\t\r]/;

/** What stands in quotes, beside a text with the delimiter in it: formulas, and what papaparse has so, which reads it back. */
const quoted = new RegExp(`${formula.source}|["\\r\\n\\uFEFF]|^ | $`);

/** Rows that become one text: lines of a whole table would fill the memory. */
const rowsAtOnce = 500;

/** A column's cells: an array, or what makes them when they are written. */
interface Cells {
  readonly length: number;
  slice(start: number, end: number): readonly unknown[];
}

/**
 * Columns as CSV text with a line a row, after one of the fields' names. A text that a spreadsheet would run begins with
 * an apostrophe then (`'=1+1`) and stands in quotes, as papaparse writes it; numbers stay numbers.
 */
export function csvText(
  { fields, columns }: { readonly fields: readonly string[]; readonly columns: readonly Cells[] },
  { delimiter = ",", header = true }: { readonly delimiter?: string; readonly header?: boolean } = {},
): string {
  const written = (cell: unknown): string => {
    if (typeof cell === "number" || typeof cell === "boolean") return String(cell);
    const text = String(cell ?? "");
    if (!quoted.test(text) && !text.includes(delimiter)) return text;
    return `"${formula.test(text) ? "'" : ""}${text.replaceAll('"', '""')}"`;
  };
  const parts = header ? [fields.map(written).join(delimiter)] : [];
  const count = columns[0]?.length ?? 0;
  for (let row = 0; row < count; row += rowsAtOnce) {
    const [first = [], ...others] = columns.map((cells) => cells.slice(row, row + rowsAtOnce).map(written));
    parts.push(first.map((cell, i) => [cell, ...others.map((cells) => cells[i])].join(delimiter)).join("\n"));
  }
  // the last line's end by the join: added to the text it would be copied once more
  return [...parts, ""].join("\n") || "\n";
}

/** The text that a cell of `csvText` holds. */
const textOf = (cell: string): string => (cell.startsWith("'") && formula.test(cell) ? cell.slice(1) : cell);

/** CSV text with a line of names read back: a record a row, by the names. */
export function parseCsvText(text: string): {
  readonly fields: readonly string[];
  readonly rows: Map<string, string>[];
} {
  const { data } = Papa.parse<string[]>(text, { skipEmptyLines: true });
  const [fields = [], ...rows] = data.map((cells) => cells.map(textOf));
  return { fields, rows: rows.map((cells) => new Map(fields.map((name, i) => [name, cells[i] ?? ""]))) };
}
