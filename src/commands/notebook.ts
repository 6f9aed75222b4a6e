import { type Command, InvalidArgumentError } from "commander";
import { interruptible } from "./process.js";

interface NotebookFlags {
  readonly out?: string;
  readonly parameter: Readonly<Record<string, string>>;
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
    .action(runNotebookFile);

function collectParameter(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("use name=value");
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}

export async function runNotebookFile(file: string, flags: NotebookFlags): Promise<void> {
  const { runNotebook } = await import("../notebook/notebook.js");
  const output = flags.out ?? file;
  const result = await runNotebook(file, { output, parameters: flags.parameter, signal: interruptible() });
  if (result.failedCell) {
    process.stderr.write(`mutwo: cell ${result.failedCell.index} failed: ${result.failedCell.message}\n`);
    process.exitCode = 1;
  } else process.stdout.write(`notebook: ${output}\n`);
}
