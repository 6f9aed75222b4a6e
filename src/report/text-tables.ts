/** A table of words, as a terminal or a page shows it. */
export interface TextTable {
  readonly title: string;
  readonly head: readonly string[];
  /** The first column is text, the others stand to the right. */
  readonly rows: readonly (readonly string[])[];
}

/** The table in Markdown (GitHub's): cells hold no markup and no line break. */
export function markdownText({ title, head, rows }: TextTable): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(" | ")} |`;
  const rule = `|${head.map((_, i) => (i === 0 ? " --- " : " ---: ")).join("|")}|`;
  return `**${escaped(title)}**\n\n${[line(head), rule, ...rows.map(line)].join("\n")}\n`;
}

/** A name may hold line breaks. */
export const oneLine = (cell: string): string => cell.replace(/\s+/g, " ");

const escaped = (cell: string): string =>
  oneLine(cell)
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/[\\`*_[\]|#~@]/g, "\\$&");
