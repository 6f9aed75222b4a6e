/** Control sequences, and single characters. */
const start = "\x1b";
const parts = new RegExp(`${start}\\[[?\\d;]*[A-Za-z]|.`, "gsu");

/** A terminal of so many columns without a last row: what text with cursor movements leaves on it. Wraps as terminals do. */
export class Screen {
  readonly lines: string[] = [""];
  cursorIsShown = true;
  private row = 0;
  private column = 0;

  constructor(private readonly columns: number) {}

  /** Writes as a program does to a terminal, which starts a new line at `\n`. Throws for a sequence that it does not know. */
  write(text: string): void {
    for (const [part] of text.matchAll(parts)) this.put(part);
  }

  private put(part: string): void {
    const { lines, row, column, columns } = this;
    if (part === "\r") this.column = 0;
    else if (part === "\n") {
      this.row++;
      this.column = 0;
      if (lines.length <= this.row) lines.push("");
    } else if (part === "\x1b[?25l" || part === "\x1b[?25h") this.cursorIsShown = part.endsWith("h");
    else if (part === "\x1b[K") lines[row] = (lines[row] ?? "").slice(0, column);
    else if (/^.\[[\d;]*m$/.test(part)) return;
    else if (part.startsWith("\x1b")) throw new Error(`unknown sequence: ${JSON.stringify(part)}`);
    else {
      if (column === columns) {
        this.put("\n");
        this.put(part);
        return;
      }
      const line = (lines[row] ?? "").padEnd(column);
      lines[row] = line.slice(0, column) + part + line.slice(column + part.length);
      this.column++;
    }
  }
}
