import Papa from "papaparse";

/** What a spreadsheet would run as a formula; with apostrophes before it, so that reading takes off what writing has put. */
const formula = /^'*[=+\-@\t\r]/;

/** Rows that are written at once: those of a whole table would fill the memory. */
const rowsAtOnce = 500;

/**
 * Columns as CSV text with a line a row, after one of the fields' names. A text that a spreadsheet would run begins with
 * an apostrophe then (`'=1+1`), as papaparse writes it; numbers stay numbers.
 */
export function csvText(
  { fields, columns }: { readonly fields: readonly string[]; readonly columns: readonly (readonly unknown[])[] },
  settings: { readonly delimiter?: string; readonly header?: boolean } = {},
): string {
  const parts: string[] = [];
  const count = columns[0]?.length ?? 0;
  for (let from = 0; from === 0 || from < count; from += rowsAtOnce) {
    const size = Math.min(rowsAtOnce, count - from);
    const data = Array.from({ length: size }, (_, row) => columns.map((cells) => cells[from + row]));
    const header = from === 0 && settings.header !== false;
    const config = { newline: "\n", escapeFormulae: formula, ...settings, header };
    parts.push(`${Papa.unparse({ fields: [...fields], data }, config)}\n`);
  }
  return parts.join("");
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
