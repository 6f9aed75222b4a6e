import { statSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import { checkFileWritable } from "../run/folder.js";
import { list, number, object, problemIn, record, text, v } from "../schema.js";
import { targetOf, writeWhole } from "../writing.js";
import type { Message } from "./connection.js";

/** One output of a cell. */
export interface Output {
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

/** A cell, as nbformat 4 has it. */
export interface Cell {
  cell_type: string;
  id?: string;
  source: string | string[];
  metadata?: { tags?: string[] };
  outputs?: Output[];
  execution_count?: number | null;
}

/** The content of an .ipynb of format 4. */
export interface Notebook {
  cells: Cell[];
  metadata: Record<string, unknown>;
  nbformat: number;
  nbformat_minor: number;
}

/** A cell's text. */
export const sourceOf = (cell: Cell): string => (Array.isArray(cell.source) ? cell.source.join("") : cell.source);

const lines = v.union([text, list(text)], "a text or a list of texts");

/** What of a notebook is read here. */
const notebookSchema = object({
  nbformat: number,
  nbformat_minor: v.optional(number),
  metadata: v.optional(record(v.unknown())),
  cells: list(
    object({
      cell_type: text,
      source: lines,
      metadata: v.optional(object({ tags: v.optional(list(text)) })),
      outputs: v.optional(
        list(
          object({
            output_type: text,
            text: v.optional(lines),
            data: v.optional(record(v.unknown())),
            traceback: v.optional(list(text)),
          }),
        ),
      ),
    }),
  ),
});

/** Reads an .ipynb. Throws `cannot read notebook: …` or `not a notebook: …`. */
export function readNotebook(file: string): Notebook {
  const content = readText("notebook", file);
  let notebook: Notebook;
  try {
    notebook = JSON.parse(content) as Notebook;
  } catch (error) {
    throw new Error(`not a notebook: ${file}`, { cause: error });
  }
  if (!(notebook?.nbformat >= 4)) throw new Error(`not a notebook of format 4: ${file}`);
  const problem = problemIn(notebookSchema, notebook);
  if (problem !== undefined) throw new Error(`not a notebook: ${problem} (${file})`);
  return notebook;
}

/** Adds a message to a cell's outputs, as nbformat 4 wants it. */
export function collect(cell: Cell, displays: Map<string, Output[]>, { header, content }: Message): void {
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
    case "execute_result":
      outputs.push({ output_type: "execute_result", data, metadata, execution_count: fields.execution_count ?? null });
      break;
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

/** Throws `cannot write notebook …` before a long run whose result could not be written. */
export function checkOutput(file: string): void {
  try {
    statSync(path.dirname(targetOf(file)));
    checkFileWritable("notebook", file);
  } catch (error) {
    throw cannotWrite(file, (error as Error).cause ?? error);
  }
}

/** Writes an .ipynb whole or not at all. Throws `cannot write notebook …`. */
export function writeNotebook(file: string, notebook: Notebook): void {
  // lines apart, so that a difference between two versions is readable
  const lines = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  for (const output of notebook.cells.flatMap((cell) => cell.outputs ?? [])) {
    if (typeof output.text === "string") output.text = lines(output.text);
    const { data } = output;
    if (typeof data?.["text/plain"] === "string") data["text/plain"] = lines(data["text/plain"]);
  }
  try {
    writeWhole(file, `${JSON.stringify(notebook, null, 1)}\n`);
  } catch (error) {
    throw cannotWrite(file, error);
  }
}
