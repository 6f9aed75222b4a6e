import { stripVTControlCharacters } from "node:util";
import Table from "cli-table3";
import { oneLine, type TextTable } from "../report/text-tables.js";

const widthOf = (line: string): number => stripVTControlCharacters(line).length;

const textOf = (cell: Table.Cell): string => String(typeof cell === "object" && cell ? (cell.content ?? "") : cell);

/** The rows of a table below each other: its first cell, and of each other that holds anything a line with its heading. */
function stacked(rows: readonly Table.Cell[][], head: readonly string[]): string {
  const width = Math.max(0, ...head.slice(1).map(widthOf));
  return rows
    .map(([first = "", ...others]) =>
      [
        textOf(first),
        ...others.map(textOf).flatMap((text, i) => (text ? [`  ${(head[i + 1] ?? "").padEnd(width)}  ${text}`] : [])),
      ].join("\n"),
    )
    .join("\n");
}

/**
 * A table as text; without lines where it is wider than the terminal, which would break them, and with its cells below
 * each other where it is too wide without lines as well.
 */
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
  const lines = bare
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
  if (lines.every((line) => widthOf(line) <= columns)) return lines.join("\n");
  const rows = [...table].filter((row): row is Table.Cell[] => Array.isArray(row));
  return rows.length === table.length ? stacked(rows, table.options.head) : lines.join("\n");
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
