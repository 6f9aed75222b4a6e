import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { reportPdf, targetPages, withBrowser } from "../../src/report/pdf.js";
import { reportHtml } from "../../src/report/report.js";
import { writeRun } from "../../src/report/write.js";
import { profileModel } from "../../src/run/pipeline.js";
import { readRun } from "../../src/run/read-run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";
import { shownData } from "../page-data.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-pdf-"));

const model = at("fixtures/resnet_bottleneck_dynamic.onnx");

const options = { loss: "ce", optimizer: "sgd", dims: { batch: 8 }, iterations: 2, warmups: 1 };

test("writeRun(run) makes the whole folder: run.json, tables, report as HTML and PDF, five plots", async () => {
  const { folder: place, run } = await writeRun(await profileModel(model, { ...options, budget: "85%" }), { folder });
  assert.deepEqual(run.warnings, []);
  assert.deepEqual(readdirSync(place).sort(), [
    "findings.json",
    "modules.csv",
    "planned-activations.csv",
    "planned-modules.csv",
    "planned-nodes.csv",
    "profiler_plots_activation_inactive_time.png",
    "profiler_plots_activation_size.png",
    "profiler_plots_memory_timeline.png",
    "profiler_plots_node_peak_memory.png",
    "profiler_plots_node_run_time.png",
    "profiler_stats_activation_stats.csv",
    "profiler_stats_node_stats.csv",
    "report.html",
    "report.pdf",
    "run.json",
  ]);
  const pdf = readFileSync(path.join(place, "report.pdf"));
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  // charts are vectors: a page without them has a few kilobytes
  assert.ok(pdf.length > 100_000, `${pdf.length} bytes`);
  for (const name of readdirSync(place).filter((file) => file.endsWith(".png"))) {
    const png = readFileSync(path.join(place, name));
    assert.equal(png.subarray(1, 4).toString(), "PNG");
    assert.ok(png.length > 10_000, name);
  }
  const html = readFileSync(path.join(place, "report.html"), "utf8");
  assert.ok(html.length < 2e6);
  assert.doesNotMatch(html, /<(script|link|img)[^>]+(src|href)=["']?https?:/);
  assert.match(html, /against the unplanned step's, over two steps: \d+ tensors are equal bit by bit/);
  const saved = readRun(path.join(place, "run.json"));
  assert.equal(saved.after?.allocatedBytes, saved.plan?.peakBytes);
  const shown = shownData(html).tables.activations?.columns[0]?.values;
  assert.deepEqual(
    shown,
    saved.before.activations.map(({ name }) => name),
  );
});

test("a report of an infeasible budget says so, with the least reachable peak and what stands in the way", async () => {
  const run = await profileModel(model, { ...options, budget: "5%" });
  const { folder: place } = await writeRun(run, { folder, pictures: false });
  const html = readFileSync(path.join(place, "report.html"), "utf8");
  assert.equal(run.plan?.feasible, false);
  assert.equal(run.after, null);
  assert.match(html, /class="headline bad">infeasible budget: .*; the least reachable peak is /);
  assert.match(html, /What stands in the way is node <a /);
});

/** In a page: words of table cells that stand on two lines. Longer ones are names, which may be cut anywhere. */
const cutWords = `[...document.querySelectorAll("td, th")].flatMap((cell) => {
  const cut = [];
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode())
    for (const { 0: word, index } of text.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      const lines = new Set([...range.getClientRects()].map(({ top }) => top));
      if (lines.size > 1 && word.length <= 12) cut.push(word);
    }
  return cut;
})`;

/** A window, and an A4 page on its side between its margins. */
const places = [
  { media: "screen", width: 1000 },
  { media: "print", width: 1031 },
] as const;

for (const name of ["resnet-h100", "gpt2-h100", "mlp-cpu"] as const)
  test(`a report of ${name} cuts no word of a table, on a screen or on paper, and no table is wider than the paper`, () =>
    withBrowser(async (browser) => {
      const page = await browser.newPage();
      const html = reportHtml(goldenRun(name));
      for (const { media, width } of places) {
        await page.setViewport({ width, height: 1400 });
        await page.emulateMediaType(media);
        await page.setContent(html, { waitUntil: "load" });
        if (media === "print") await page.evaluate("window.mutwoPrint()");
        assert.deepEqual(await page.evaluate(cutWords), [], media);
      }
      const rights = await page.evaluate(
        '[...document.querySelectorAll("table")].map((table) => table.getBoundingClientRect().right)',
      );
      for (const right of rights as number[]) assert.ok(right <= 1031.5, `${right}`);
    }));

test("targetPages(pdf) counts pages over all lists of them", () => {
  const pdf = [
    "\n9 0 obj\n<</Type /Pages\n/Kids [7 0 R 8 0 R]>>\nendobj",
    "\n7 0 obj\n<</Type /Pages\n/Kids [3 0 R 1 0 R]\n/Parent 9 0 R>>\nendobj",
    "\n8 0 obj\n<</Type /Pages\n/Kids [2 0 R]\n/Parent 9 0 R>>\nendobj",
    "\n4 0 obj\n<</time [1 0 R /XYZ 0 595 0]\n/model [2 0 R /XYZ 0 5 0]\n/summary [3 0 R /XYZ 0 5 0]>>\nendobj",
  ].join("");
  assert.deepEqual(Object.fromEntries(targetPages(pdf)), { summary: 1, time: 2, model: 3 });
});

test("reportPdf(html) has an outline, and a table of contents that says where each section begins", () =>
  withBrowser(async (browser) => {
    const file = path.join(folder, "contents.pdf");
    const html = reportHtml(goldenRun("gpt2-h100"));
    await reportPdf(browser, html, file);
    const pdf = readFileSync(file, "latin1");
    assert.match(pdf, /\/Outlines \d+ 0 R/);
    assert.match(pdf, /\/MediaBox \[0 0 84\d\.?\d* 59\d/);
    const pages = targetPages(pdf);
    const names = [...html.matchAll(/<section id="(\w+)">/g)].map(([, name = ""]) => name);
    const numbers = names.map((name) => pages.get(name) ?? 0);
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, z) => a - z),
    );
    assert.equal(numbers[0], 1);
    assert.ok((numbers.at(-1) ?? 0) > 3 && (numbers.at(-1) ?? 99) <= 12, `${numbers}`);
  }));
