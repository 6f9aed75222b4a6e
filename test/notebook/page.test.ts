import assert from "node:assert/strict";
import { test } from "node:test";
import { figureBundle } from "../../src/notebook/figure.js";
import type { Cell, Output } from "../../src/notebook/ipynb.js";
import { notebookHtml } from "../../src/notebook/page.js";

const page = (outputs: Output[]): string => {
  const cells: Cell[] = [
    { cell_type: "markdown", source: "# A <title>" },
    { cell_type: "code", source: "a < b", execution_count: 3, outputs },
  ];
  return notebookHtml({ cells, metadata: {}, nbformat: 4, nbformat_minor: 5 }, "name");
};

test("notebookHtml(notebook) shows cells with their counts, and each output in its richest form", () => {
  const html = page([
    { output_type: "stream", name: "stdout", text: ["\u001b[31m<b>\u001b[0m\n"] },
    { output_type: "execute_result", data: { "text/plain": "no", "text/html": "<table>yes</table>" } },
    { output_type: "display_data", data: { "text/plain": ["<p>", "lain"] } },
    { output_type: "error", ename: "Error", evalue: "bad", traceback: ["Error: bad", "  at cell [3], line 1: a < b"] },
  ]);
  assert.match(html, /<title>A &lt;title><\/title>|<title>A &lt;title&gt;<\/title>/);
  assert.match(html, /\[3\].*a &lt; b.*<pre>&lt;b.*<table>yes<\/table>.*<pre>&lt;p/s);
  assert.match(html, /<pre class="bad">Error: bad\n {2}at cell \[3\], line 1: a &lt; b<\/pre>/);
  assert.ok(!html.includes("mutwo-plotly"));
});

test("notebookHtml(notebook) brings the library where charts were saved without it, and once", () => {
  const data = { ...figureBundle({ data: [{ y: [1, 2] }] }) };
  const html = page([{ output_type: "display_data", data }]);
  assert.equal(html.split('new Event("mutwo-plotly")').length, 2);
});
