import Table from "cli-table3";
import { oneLine, type TextTable } from "../report/text-tables.js";

/** A table as text; without lines where it is wider than the terminal, which would break them. */
export function tableText(table: Table.Table, columns = process.stdout.columns): string {
  const text = table.toString();
  if (columns === undefined || text.indexOf("\n") <= columns) return text;
  const none = ["top", "bottom", "left", "right", "mid"].flatMap((side) => [
    side,
    `${side}-left`,
    `${side}-right`,
    `${side}-mid`,
  ]);
  const bare = new Table({
    ...table.options,
    chars: { ...Object.fromEntries(none.map((side) => [side, ""])), middle: "" },
    style: { ...table.options.style, "padding-left": 0, "padding-right": 0 },
  });
  bare.push(...table);
  // a column keeps the width of its margins, behind its text
  return bare
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** No lines between rows. */
const compact = { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" };

/** A table of words below its title, one line a row. */
export function gridText({ title, head, rows }: TextTable, columns = process.stdout.columns): string {
  const table = new Table({
    head: [...head],
    chars: compact,
    style: { head: [], border: [] },
    colAligns: head.map((_, i) => (i === 0 ? "left" : "right")),
  });
  table.push(...rows.map((row) => row.map(oneLine)));
  return `${title}\n${tableText(table, columns)}\n`;
}
