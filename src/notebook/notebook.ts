import path from "node:path";
import { withoutLibrary } from "./figure.js";
import { checkOutput, collect, type Notebook, type Output, readNotebook, sourceOf, writeNotebook } from "./ipynb.js";
import { Kernel } from "./kernel.js";
import { injectParameters } from "./parameters.js";

/** How a notebook is run. */
export interface NotebookOptions {
  /** Where the notebook with its outputs goes; default in place. */
  readonly output?: string;
  /** Values for the cell tagged `parameters`, as text. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Longest time for one cell, ms; default 30 minutes. */
  readonly timeoutMs?: number;
  /** Where cells run; default the nearest folder above the notebook with a package.json. */
  readonly cwd?: string;
  /** Charts are written as pictures, without the library that makes them live: small files. */
  readonly pictures?: boolean;
  /** Called before each code cell with its place among all cells, and how many code cells there are. */
  readonly onStart?: (cell: { readonly index: number; readonly done: number; readonly total: number }) => void;
  /** Called after each code cell with its place among all cells. */
  readonly onCell?: (cell: { readonly index: number; readonly ok: boolean; readonly timeMs: number }) => void;
  readonly signal?: AbortSignal;
}

/** Whether every cell ran. */
export interface NotebookResult {
  readonly ok: boolean;
  /** The cell that threw or did not compile: its place among all cells, from 0, the error's text, the line in the cell. */
  readonly failedCell: { readonly index: number; readonly message: string; readonly line?: number } | null;
}

/** Leaves out of a notebook what makes charts live; their pictures stay. */
function keepPictures(notebook: Notebook): void {
  for (const { data } of notebook.cells.flatMap(({ outputs = [] }) => outputs)) {
    if (typeof data?.["text/html"] === "string") data["text/html"] = withoutLibrary(data["text/html"]);
  }
}

/**
 * Runs an .ipynb from top to bottom in the tslab kernel and writes it with its outputs. A failing cell ends the run and
 * is part of the result. Throws one line for a file that is no notebook, a wrong parameter, a kernel that dies or a cell
 * that takes too long, and the signal's reason; outputs that were made until then are written in every case.
 */
export async function runNotebook(input: string, options: NotebookOptions = {}): Promise<NotebookResult> {
  const { signal, timeoutMs = 1_800_000, output = input } = options;
  const notebook = readNotebook(input);
  injectParameters(notebook, options.parameters ?? {});
  checkOutput(output);
  const kernel = await Kernel.start({
    cwd: options.cwd ?? path.dirname(path.resolve(input)),
    stay: options.cwd !== undefined,
    signal,
  });
  notebook.metadata = { ...notebook.metadata, language_info: kernel.languageInfo };
  const codeCells = [...notebook.cells.entries()].filter(([, cell]) => cell.cell_type === "code");
  for (const [, cell] of codeCells) Object.assign(cell, { outputs: [], execution_count: null });
  const displays = new Map<string, Output[]>();
  let failedCell: NotebookResult["failedCell"] = null;
  let current = 0;
  try {
    for (const [done, [index, cell]] of codeCells.entries()) {
      current = index;
      options.onStart?.({ index, done, total: codeCells.length });
      const code = sourceOf(cell);
      if (!code.trim()) continue;
      const before = performance.now();
      const { content } = await kernel.request(
        "execute_request",
        { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false, stop_on_error: true },
        { onOutput: (message) => collect(cell, displays, message), timeoutMs, signal },
      );
      const ok = content.status === "ok";
      cell.execution_count = typeof content.execution_count === "number" ? content.execution_count : null;
      options.onCell?.({ index, ok, timeMs: performance.now() - before });
      if (!ok) {
        const { line } = content;
        const where = typeof line === "number" ? { line } : {};
        failedCell = { index, message: String(content.evalue ?? content.status), ...where };
        break;
      }
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new Error(`${(error as Error).message} (cell ${current})`, { cause: error });
  } finally {
    await kernel.stop();
    if (options.pictures) keepPictures(notebook);
    writeNotebook(output, notebook);
  }
  return { ok: failedCell === null, failedCell };
}
