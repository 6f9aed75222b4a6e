import Papa from "papaparse";

/** What a spreadsheet would run as a formula; with apostrophes before it, so that reading takes off what writing has put. */
const formula = /^'*[=+\-@\t\r]/;

/** Rows that are written at once. */
const rowsAtOnce = 500;

/**
 * Rows as CSV text with a line each, after one of the fields' names. A text that a spreadsheet would run begins with an
 * apostrophe then (`'=1+1`), as papaparse writes it; numbers stay numbers.
 */
export function csvText(
  table: { readonly fields: readonly string[]; readonly data: Iterable<readonly unknown[]> },
  settings: { readonly delimiter?: string; readonly header?: boolean } = {},
): string {
  const parts: string[] = [];
  let rows: (readonly unknown[])[] = [];
  const write = (): void => {
    const header = parts.length === 0 && settings.header !== false;
    const config = { newline: "\n", escapeFormulae: formula, ...settings, header };
    parts.push(`${Papa.unparse({ fields: [...table.fields], data: rows }, config)}\n`);
    rows = [];
  };
  // part by part: cells of all rows at once would fill the memory
  for (const row of table.data) if (rows.push(row) === rowsAtOnce) write();
  if (rows.length || parts.length === 0) write();
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
