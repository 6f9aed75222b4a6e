import { type Command, InvalidArgumentError } from "commander";
import { formatMs } from "../format.js";
import { interruptible } from "./process.js";
import { complain } from "./terminal.js";

interface NotebookFlags {
  readonly out?: string;
  readonly parameter: Readonly<Record<string, string>>;
  readonly pictures?: boolean;
  readonly report?: boolean;
}

/** `mutwo notebook run`: runs a TypeScript notebook without Jupyter. */
export const notebookCommand = (root: Command): Command =>
  root
    .command("notebook")
    .description("TypeScript notebooks")
    .command("run <file>")
    .description("run an .ipynb from top to bottom without Jupyter")
    .option("--out <file>", "where the notebook with outputs goes (default: in place)")
    .option("-p, --parameter <name=value>", "value for the cell tagged parameters (repeat)", collectParameter, {})
    .option("--pictures", "charts as still pictures, without the library that makes them live: small files")
    .option("--report", "the executed notebook as HTML and PDF too, beside it")
    .action(runNotebookFile);

function collectParameter(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("use name=value");
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}

/** Tells on stderr which cell runs, on a terminal in place, and how long each took. */
function cellProgress(stream: NodeJS.WriteStream) {
  const clear = stream.isTTY ? "\r\x1b[K" : "";
  let running = "";
  return {
    onStart({ index, done, total }: { index: number; done: number; total: number }): void {
      running = `cell ${index} (${done + 1} of ${total})`;
      if (stream.isTTY) stream.write(`${clear}${running} …`);
    },
    onCell({ ok, timeMs }: { ok: boolean; timeMs: number }): void {
      stream.write(`${clear}${running}: ${ok ? "" : "failed, "}${formatMs(timeMs)}\n`);
    },
    end: (): boolean => clear !== "" && stream.write(clear),
  };
}

export async function runNotebookFile(file: string, flags: NotebookFlags): Promise<void> {
  const { runNotebook } = await import("../notebook/notebook.js");
  const output = flags.out ?? file;
  const { onStart, onCell, end } = cellProgress(process.stderr);
  const { parameter: parameters, pictures } = flags;
  const signal = interruptible();
  const result = await runNotebook(file, { output, parameters, pictures, signal, onStart, onCell }).finally(end);
  if (flags.report) {
    const { writeNotebookReport } = await import("../notebook/page.js");
    for (const written of await writeNotebookReport(output)) process.stdout.write(`report: ${written}\n`);
  }
  if (result.failedCell) {
    const { index, message, line } = result.failedCell;
    complain(`cell ${index} failed${line === undefined ? "" : `, line ${line}`}: ${message}`);
    process.exitCode = 1;
  } else process.stdout.write(`notebook: ${output}\n`);
}
