import Table from "cli-table3";

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
