import { accessSync, constants, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import type typescript from "typescript";
import { Kernel, type Message } from "./kernel.js";

interface Output {
  output_type: "stream" | "display_data" | "execute_result" | "error";
  name?: string;
  text?: string | string[];
  data?: Record<string, unknown>;
  metadata?: object;
  execution_count?: number | null;
  ename?: string;
  evalue?: string;
  traceback?: string[];
}

interface Cell {
  cell_type: string;
  id?: string;
  source: string | string[];
  metadata?: { tags?: string[] };
  outputs?: Output[];
  execution_count?: number | null;
}

interface Notebook {
  cells: Cell[];
  metadata: Record<string, unknown>;
  nbformat: number;
  nbformat_minor: number;
}

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
  /** Called after each code cell with its place among all cells. */
  readonly onCell?: (cell: { readonly index: number; readonly ok: boolean; readonly timeMs: number }) => void;
  readonly signal?: AbortSignal;
}

/** Whether every cell ran. */
export interface NotebookResult {
  readonly ok: boolean;
  /** The cell that threw or did not compile: its place among all cells, from 0, and the error's text. */
  readonly failedCell: { readonly index: number; readonly message: string } | null;
}

const sourceOf = (cell: Cell): string => (Array.isArray(cell.source) ? cell.source.join("") : cell.source);

/** Throws `cannot read notebook: …` or `not a notebook: …`. */
function readNotebook(file: string): Notebook {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`cannot read notebook: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  let notebook: Notebook;
  try {
    notebook = JSON.parse(text) as Notebook;
  } catch (error) {
    throw new Error(`not a notebook: ${file}`, { cause: error });
  }
  if (!(notebook?.nbformat >= 4)) throw new Error(`not a notebook of format 4: ${file}`);
  const isText = (source: unknown): boolean => typeof (Array.isArray(source) ? source.join("") : source) === "string";
  if (!Array.isArray(notebook.cells) || !notebook.cells.every((cell) => isText(cell?.source)))
    throw new Error(`not a notebook, it has no cells: ${file}`);
  return notebook;
}

interface Declaration {
  readonly type: "number" | "string" | "boolean" | "other";
  readonly isConst: boolean;
}

/** The variables that a cell declares, by the compiler that tslab brings. */
function declarationsIn(source: string): Map<string, Declaration> {
  const fromTslab = createRequire(require.resolve("tslab/package.json"));
  const ts = fromTslab("@tslab/typescript-for-tslab") as typeof typescript;
  const { SyntaxKind: kinds } = ts;
  const types = new Map<typescript.SyntaxKind | undefined, Declaration["type"]>([
    [kinds.NumberKeyword, "number"],
    [kinds.NumericLiteral, "number"],
    [kinds.PrefixUnaryExpression, "number"],
    [kinds.StringKeyword, "string"],
    [kinds.StringLiteral, "string"],
    [kinds.NoSubstitutionTemplateLiteral, "string"],
    [kinds.BooleanKeyword, "boolean"],
    [kinds.TrueKeyword, "boolean"],
    [kinds.FalseKeyword, "boolean"],
  ]);
  const declarations = new Map<string, Declaration>();
  for (const statement of ts.createSourceFile("cell.ts", source, ts.ScriptTarget.ES2022).statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const isConst = (statement.declarationList.flags & ts.NodeFlags.Const) !== 0;
    for (const { name, type, initializer } of statement.declarationList.declarations)
      if (ts.isIdentifier(name))
        declarations.set(name.text, { type: types.get((type ?? initializer)?.kind) ?? "other", isConst });
  }
  return declarations;
}

/** A parameter's text as a literal of its declared type; where that says nothing, of the type that the text looks like. */
function literal(name: string, text: string, type: Declaration["type"]): string {
  const isNumber = text.trim() !== "" && Number.isFinite(Number(text));
  const isBoolean = text === "true" || text === "false";
  if ((type === "number" && !isNumber) || (type === "boolean" && !isBoolean))
    throw new Error(`parameter is not a ${type}: ${name}=${text}`);
  if (type === "string" || (!isNumber && !isBoolean)) return JSON.stringify(text);
  return isNumber ? String(Number(text)) : text;
}

const tagged = (tag: string) => (cell: Cell) => cell.metadata?.tags?.includes(tag) ?? false;

/**
 * Puts a cell with the given values after the one tagged `parameters`, as papermill does, in place of an earlier one.
 * Throws for a name that that cell does not declare and for a value that is not of its type.
 */
function injectParameters(notebook: Notebook, parameters: Readonly<Record<string, string>>): void {
  const names = Object.keys(parameters);
  if (names.length === 0) return;
  const declaring = notebook.cells.find(tagged("parameters"));
  if (!declaring) throw new Error(`no cell is tagged parameters: ${names.join(", ")}`);
  const declarations = declarationsIn(sourceOf(declaring));
  const lines = Object.entries(parameters).map(([name, text]) => {
    const declaration = declarations.get(name);
    if (!declaration) throw new Error(`unknown parameter (there are ${[...declarations.keys()].join(", ")}): ${name}`);
    if (declaration.isConst) throw new Error(`parameter is declared const: ${name}`);
    return `${name} = ${literal(name, text, declaration.type)};`;
  });
  const injected: Cell = {
    cell_type: "code",
    // cells have ids since nbformat 4.5 and must not have them before
    ...(notebook.nbformat > 4 || notebook.nbformat_minor >= 5 ? { id: "injected-parameters" } : {}),
    metadata: { tags: ["injected-parameters"] },
    source: lines.join("\n"),
    outputs: [],
    execution_count: null,
  };
  notebook.cells = notebook.cells.filter((cell) => !tagged("injected-parameters")(cell));
  notebook.cells.splice(notebook.cells.indexOf(declaring) + 1, 0, injected);
}

/** Adds a message to a cell's outputs, as nbformat 4 wants it. */
function collect(cell: Cell, displays: Map<string, Output[]>, { header, content }: Message): void {
  const outputs = cell.outputs ?? [];
  cell.outputs = outputs;
  const fields = content as Partial<Output> & { readonly transient?: { readonly display_id?: string } };
  const shown = displays.get(fields.transient?.display_id ?? "") ?? [];
  const last = outputs.at(-1);
  const { data = {}, metadata = {} } = fields;
  switch (header.msg_type) {
    case "stream":
      if (last?.output_type === "stream" && last.name === fields.name) last.text = `${last.text}${fields.text}`;
      else outputs.push({ output_type: "stream", name: fields.name ?? "stdout", text: `${fields.text}` });
      break;
    case "display_data": {
      const output: Output = { output_type: "display_data", data, metadata };
      if (fields.transient?.display_id) displays.set(fields.transient.display_id, [...shown, output]);
      outputs.push(output);
      break;
    }
    case "update_display_data":
      for (const output of shown) Object.assign(output, { data, metadata });
      break;
    case "error": {
      const { ename = "Error", evalue = "", traceback = [] } = fields;
      outputs.push({ output_type: "error", ename, evalue, traceback });
    }
  }
}

const cannotWrite = (file: string, error: unknown): Error =>
  new Error(`cannot write notebook (${(error as NodeJS.ErrnoException).code}): ${file}`, { cause: error });

/** Throws before a long run whose result could not be written. */
function checkWritable(file: string): void {
  try {
    accessSync(path.dirname(path.resolve(file)), constants.W_OK);
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory())
      throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
  } catch (error) {
    throw cannotWrite(file, error);
  }
}

/** Writes the file whole or not at all. */
function writeNotebook(file: string, notebook: Notebook): void {
  // lines apart, so that a difference between two versions is readable
  for (const output of notebook.cells.flatMap((cell) => cell.outputs ?? []))
    if (typeof output.text === "string") output.text = output.text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, `${JSON.stringify(notebook, null, 1)}\n`);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw cannotWrite(file, error);
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
  checkWritable(output);
  const kernel = await Kernel.start({
    cwd: options.cwd ?? path.dirname(path.resolve(input)),
    stay: options.cwd !== undefined,
    ...(signal ? { signal } : {}),
  });
  notebook.metadata = { ...notebook.metadata, language_info: kernel.languageInfo };
  const codeCells = [...notebook.cells.entries()].filter(([, cell]) => cell.cell_type === "code");
  for (const [, cell] of codeCells) Object.assign(cell, { outputs: [], execution_count: null });
  const displays = new Map<string, Output[]>();
  let failedCell: NotebookResult["failedCell"] = null;
  let current = 0;
  try {
    for (const [index, cell] of codeCells) {
      current = index;
      const code = sourceOf(cell);
      if (!code.trim()) continue;
      const before = performance.now();
      const { content } = await kernel.request(
        "execute_request",
        { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false, stop_on_error: true },
        { onOutput: (message) => collect(cell, displays, message), timeoutMs, ...(signal ? { signal } : {}) },
      );
      const ok = content.status === "ok";
      cell.execution_count = typeof content.execution_count === "number" ? content.execution_count : null;
      options.onCell?.({ index, ok, timeMs: performance.now() - before });
      if (!ok) {
        failedCell = { index, message: String(content.evalue ?? content.status) };
        break;
      }
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new Error(`${(error as Error).message} (cell ${current})`, { cause: error });
  } finally {
    await kernel.stop();
    writeNotebook(output, notebook);
  }
  return { ok: failedCell === null, failedCell };
}
