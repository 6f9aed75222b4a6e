import type { Figure } from "../report/figure.js";
import { plotlySource } from "../report/plotly.js";

interface TslabJupyter {
  readonly lastWriteDisplayData:
    | ((message: { data: object; metadata: object; transient: object }, update: boolean) => void)
    | null;
}

/**
 * Shows one output in several formats; tslab's own `display` sends one only. The module is looked up where the running
 * kernel has it: another copy of tslab would not be connected to anything.
 */
function display(data: Readonly<Record<string, unknown>>, what: string): void {
  const file = Object.keys(require.cache).find((key) => /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/.test(key));
  const jupyter = file === undefined ? undefined : (require.cache[file]?.exports as TslabJupyter | undefined);
  if (!jupyter?.lastWriteDisplayData) throw new Error(`not in a notebook: ${what}`);
  jupyter.lastWriteDisplayData({ data, metadata: {}, transient: {} }, false);
}

let figures = 0;

/** Plotly for the notebook's page, 1.5 MB. */
const libraryHtml = (): string =>
  // where a page has require.js, Plotly would hand itself to that instead of becoming a global
  "<script>window.mutwoDefine=window.define;window.define=undefined</script>" +
  `<script>${plotlySource()}</script>` +
  "<script>window.define=window.mutwoDefine</script>";

/**
 * Shows a Plotly figure below the cell: live where the front end knows Plotly's format, as HTML elsewhere; the first
 * figure of a notebook brings the library for all. Throws `not in a notebook: showFigure`.
 */
export function showFigure(figure: Pick<Figure, "data"> & { readonly layout?: object }): void {
  // typed arrays would become objects
  const json = JSON.stringify({ data: figure.data, layout: figure.layout ?? {} }, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
  );
  const { data, layout } = JSON.parse(json) as { data: object[]; layout: { height?: number } };
  const id = `mutwo-figure-${process.pid}-${figures}`;
  const html =
    `<div id="${id}" style="height:${layout.height ?? 400}px"></div>` +
    `<script>{const {data,layout}=${json.replace(/</g, "\\u003c")};` +
    // pages that load their outputs in any order may not have the library yet
    "const draw=(tries)=>window.Plotly?" +
    `Plotly.newPlot("${id}",data,layout,{responsive:true,displaylogo:false}):tries&&setTimeout(draw,100,tries-1);` +
    "draw(100)}</script>";
  display(
    {
      "application/vnd.plotly.v1+json": { data, layout },
      "text/html": figures === 0 ? libraryHtml() + html : html,
      "text/plain": `Plotly figure: ${data.length} ${data.length === 1 ? "trace" : "traces"}`,
    },
    "showFigure",
  );
  figures++;
}

/** What of a danfo DataFrame is needed to show it. */
export interface Frame {
  readonly columns: readonly string[];
  readonly values: unknown;
}

const escapeHtml = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

/** Whole numbers (bytes, ranks) stay exact. */
const cellText = (value: unknown): string => {
  if (Number.isNaN(value)) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return Array.isArray(value) ? value.join(", ") : String(value ?? "");
};

/**
 * Shows the first rows of a danfo DataFrame, or of row objects (the first one names the columns), as a table below the
 * cell. Throws `not in a notebook: showTable`.
 */
export function showTable(table: Frame | readonly object[], rowCount = 20): void {
  const isFrame = !Array.isArray(table);
  const columns = isFrame ? (table as Frame).columns : Object.keys((table as readonly object[])[0] ?? {});
  const rows = isFrame
    ? ((table as Frame).values as readonly (readonly unknown[])[])
    : (table as readonly Readonly<Record<string, unknown>>[]).map((row) => columns.map((column) => row[column]));
  const shown = rows.slice(0, rowCount);
  const rest = rows.length > shown.length ? `${rows.length - shown.length} more rows` : "";
  const cell = (value: unknown): string =>
    `<td style="text-align:${typeof value === "number" ? "right" : "left"}">${escapeHtml(cellText(value))}</td>`;
  const head = columns.map((column) => `<th>${escapeHtml(column)}</th>`).join("");
  const body = shown.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("");
  display(
    {
      "text/html": `<table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>${rest && `<p>${rest}</p>`}`,
      "text/plain": [
        columns.join("\t"),
        ...shown.map((row) => row.map(cellText).join("\t")),
        ...(rest ? [rest] : []),
      ].join("\n"),
    },
    "showTable",
  );
}
