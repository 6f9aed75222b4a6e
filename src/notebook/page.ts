import { readFileSync } from "node:fs";
import path from "node:path";
import type { Page } from "puppeteer-core";
import { withBrowser } from "../report/pdf.js";
import { ownPath } from "../root.js";
import { writeWhole } from "../writing.js";
import { escapeHtml } from "./cell.js";
import { bringsLibrary, libraryHtml } from "./figure.js";
import { type Cell, type Notebook, type Output, readNotebook, sourceOf } from "./ipynb.js";
import { markdownHtml } from "./markdown.js";

const textOf = (value: unknown): string => (Array.isArray(value) ? value.join("") : String(value ?? ""));

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals' colours begin with one
const plain = (text: string): string => text.replace(/\u001b\[[\d;]*m/g, "");

/** An output in the richest form that the page can show. */
function outputHtml({ output_type, data = {}, text, ename, evalue, traceback }: Output): string {
  if (output_type === "stream") return `<pre>${escapeHtml(plain(textOf(text)))}</pre>`;
  if (output_type === "error") {
    const lines = traceback?.length ? traceback.join("\n") : `${ename}: ${evalue}`;
    return `<pre class="bad">${escapeHtml(plain(lines))}</pre>`;
  }
  const html = data["text/html"];
  if (html !== undefined) return textOf(html);
  if (data["text/markdown"] !== undefined) return markdownHtml(textOf(data["text/markdown"]));
  if (data["image/svg+xml"] !== undefined) return textOf(data["image/svg+xml"]);
  for (const type of ["image/png", "image/jpeg"])
    if (data[type] !== undefined) return `<img alt="" src="data:${type};base64,${textOf(data[type]).trim()}">`;
  return `<pre>${escapeHtml(textOf(data["text/plain"]))}</pre>`;
}

function cellHtml(cell: Cell): string {
  if (cell.cell_type === "markdown") return markdownHtml(sourceOf(cell));
  if (cell.cell_type !== "code") return `<pre>${escapeHtml(sourceOf(cell))}</pre>`;
  const outputs = (cell.outputs ?? []).map((output) => `<div class="output">${outputHtml(output)}</div>`).join("");
  return `<div class="cell"><span class="count">[${cell.execution_count ?? " "}]</span><pre class="code"><code>${escapeHtml(sourceOf(cell))}</code></pre>${outputs}</div>`;
}

const style = `
.cell { margin: 1rem 0; position: relative; }
.count { color: #777; font-size: 0.8rem; }
.code { background: #f7f7f7; border: 1px solid #e3e3e3; padding: 8px 12px; margin: 2px 0 8px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
pre.bad { border-left: 4px solid #a30000; padding-left: 8px; }
.output { overflow-x: auto; margin: 4px 0; }
.output table { border-collapse: collapse; border: 0; }
.output th, .output td { padding: 3px 10px; border: 0; border-bottom: 1px solid #ddd; white-space: nowrap; }
@media print { .cell, .mutwo-figure { break-inside: avoid; } .output { overflow: visible; } .modebar { display: none; } .output th, .output td { white-space: normal; overflow-wrap: anywhere; } }
`;

/** An executed notebook as one HTML page in the report's style that needs nothing else. */
export function notebookHtml(notebook: Notebook, name: string): string {
  const cells = notebook.cells.map(cellHtml).join("\n");
  const title = /^#\s+(.*)$/m.exec(sourceOf(notebook.cells[0] ?? { cell_type: "raw", source: "" }))?.[1] ?? name;
  const css = readFileSync(ownPath("templates", "report.css"), "utf8");
  const library = cells.includes('class="mutwo-figure"') && !bringsLibrary(cells) ? libraryHtml() : "";
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
    `<title>${escapeHtml(title)}</title><style>${css}${style}</style></head><body><main>\n${cells}\n</main>${library}</body></html>\n`
  );
}

/** Waits until every chart of the page is drawn; pictures stand in for those that are not in ten seconds. */
const chartsDrawn = (page: Page): Promise<unknown> =>
  page
    .waitForFunction("[...document.querySelectorAll('.mutwo-figure')].every((figure) => figure.dataset.drawn)", {
      timeout: 10_000,
    })
    .catch(() => undefined);

/**
 * Writes an executed notebook as HTML and PDF beside it; returns their paths. Throws `no usable browser: …`, after the HTML
 * is written.
 */
export async function writeNotebookReport(file: string): Promise<string[]> {
  const { dir, name } = path.parse(file);
  const [page, pdf] = [path.join(dir, `${name}.html`), path.join(dir, `${name}.pdf`)];
  const html = notebookHtml(readNotebook(file), name);
  writeWhole(page, html);
  await withBrowser(async (browser) => {
    const tab = await browser.newPage();
    await tab.setViewport({ width: 1000, height: 1400 });
    await tab.setContent(html, { waitUntil: "load", timeout: 120_000 });
    await chartsDrawn(tab);
    const margin = { top: "14mm", bottom: "16mm", left: "12mm", right: "12mm" };
    writeWhole(pdf, await tab.pdf({ format: "A4", printBackground: true, margin, outline: true, timeout: 120_000 }));
  });
  return [page, pdf];
}
