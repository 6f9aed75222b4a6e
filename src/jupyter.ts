import { accessSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { kernelFile } from "./notebook.js";
import { plotlySource } from "./plotly.js";

/** Jupyter's data folder of this user, by Jupyter's own rules. */
function userDataFolder(): string {
  if (process.env.JUPYTER_DATA_DIR) return process.env.JUPYTER_DATA_DIR;
  if (process.platform === "darwin") return path.join(homedir(), "Library/Jupyter");
  if (process.platform === "win32") return path.join(process.env.APPDATA ?? homedir(), "jupyter");
  return path.join(process.env.XDG_DATA_HOME ?? path.join(homedir(), ".local/share"), "jupyter");
}

/**
 * Registers the TypeScript kernel with Jupyter and returns the path of its kernel.json. Needs no Python. Throws
 * `cannot install kernel: …` if the folder is not writable.
 */
export function installKernel(options: { dataDir?: string } = {}): string {
  const folder = path.resolve(options.dataDir ?? userDataFolder(), "kernels/mutwo");
  const file = path.join(folder, "kernel.json");
  const spec = {
    argv: [process.execPath, path.resolve(kernelFile), "kernel", "--config-path", "{connection_file}"],
    display_name: "TypeScript (mutwo)",
    language: "typescript",
  };
  try {
    accessSync(kernelFile);
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${file}.tmp`, `${JSON.stringify(spec, null, 2)}\n`);
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    throw new Error(`cannot install kernel: ${folder} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  return file;
}

interface Figure {
  readonly data: readonly object[];
  readonly layout?: object;
}

interface TslabJupyter {
  lastWriteDisplayData:
    | ((message: { data: object; metadata: object; transient: object }, update: boolean) => void)
    | null;
}

/** Shows one output in several formats; tslab's own `display` sends one only. Throws outside a tslab kernel. */
function display(data: Record<string, unknown>): void {
  const key = Object.keys(require.cache).find((file) => /tslab[\\/]dist[\\/]jupyter\.js$/.test(file));
  const loaded = key ? (require.cache[key]?.exports as TslabJupyter | undefined) : undefined;
  const write = loaded?.lastWriteDisplayData;
  if (!write) throw new Error("not in a tslab kernel: figures and tables are shown in notebooks only");
  write({ data, metadata: {}, transient: {} }, false);
}

let libraryShown = false;

/** Plotly for this notebook's page; a second call gives nothing. A page's require.js must not catch it as a module. */
function libraryOnce(): string {
  if (libraryShown) return "";
  libraryShown = true;
  return `<script>window.mutwoDefine=window.define;window.define=undefined</script><script>${plotlySource()}</script><script>window.define=window.mutwoDefine</script>`;
}

let figures = 0;

/** Shows a Plotly figure below the cell: live where the front end knows Plotly, as HTML elsewhere. */
export function showFigure(figure: Figure): void {
  const id = `mutwo-figure-${process.pid}-${++figures}`;
  const json = JSON.stringify({ data: figure.data, layout: figure.layout ?? {} }).replace(/</g, "\\u003c");
  display({
    "application/vnd.plotly.v1+json": { data: figure.data, layout: figure.layout ?? {} },
    "text/html": `${libraryOnce()}<div id="${id}" style="height:400px"></div><script>{const f=${json};Plotly.newPlot("${id}",f.data,f.layout,{responsive:true,displaylogo:false})}</script>`,
    "text/plain": `Plotly figure with ${figure.data.length} traces`,
  });
}

/** What of a danfo DataFrame is needed to show it. */
interface Table {
  readonly columns: readonly string[];
  readonly values: unknown;
}

const escapeHtml = (value: unknown): string =>
  String(value ?? "")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;");

/** Shows the first rows (default 20) of a danfo DataFrame as an HTML table below the cell. */
export function showTable(table: Table, rows = 20): void {
  const all = table.values as readonly (readonly unknown[])[];
  const shown = all.slice(0, rows);
  const line = (cells: readonly unknown[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(typeof cell === "number" ? Number(cell.toPrecision(6)) : cell)}</${tag}>`).join("")}</tr>`;
  const rest = all.length > shown.length ? `<p>${all.length - shown.length} more rows</p>` : "";
  display({
    "text/html": `<table>${line(table.columns, "th")}${shown.map((row) => line(row, "td")).join("")}</table>${rest}`,
    "text/plain": [table.columns.join("\t"), ...shown.map((row) => row.join("\t"))].join("\n"),
  });
}
