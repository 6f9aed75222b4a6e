import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Browser, Page } from "puppeteer-core";
import type { Run } from "../run/run.js";
import { launchBrowser } from "./browser.js";
import { plots } from "./charts.js";
import type { Figure } from "./figure.js";
import { plotlySource } from "./plotly.js";

/** Starts a browser for as long as the work takes. Throws `no usable browser: …`. */
export async function withBrowser<T>(work: (browser: Browser) => Promise<T>): Promise<T> {
  const browser = await launchBrowser();
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}

async function withPage<T>(browser: Browser, work: (page: Page) => Promise<T>): Promise<T> {
  const page = await browser.newPage();
  try {
    return await work(page);
  } finally {
    await page.close();
  }
}

/** An A4 page on its side, its margins, and what is left between them in CSS pixels (96 an inch). */
const margin = { top: "11mm", bottom: "14mm", left: "12mm", right: "12mm" };
const contentWidth = Math.floor(((297 - 24) / 25.4) * 96);

const footer = `<div style="font-size:8px;width:100%;text-align:center;color:#666"><span class="pageNumber"></span> / <span class="totalPages"></span></div>`;

/**
 * Prints a report as A4 pages on their side, with an outline. The page draws its charts itself and says when it is done.
 * It is printed twice: the first time tells on which page each section begins, for the table of contents.
 */
export async function reportPdf(browser: Browser, html: string, file: string): Promise<void> {
  await withPage(browser, async (page) => {
    await page.setViewport({ width: contentWidth, height: 1400 });
    await page.emulateMediaType("print");
    await page.setContent(html, { waitUntil: "load", timeout: 120_000 });
    await page.evaluate("window.mutwoPrint()");
    const print = (): Promise<Uint8Array> =>
      page.pdf({
        format: "A4",
        landscape: true,
        outline: true,
        tagged: true,
        printBackground: true,
        margin,
        displayHeaderFooter: true,
        headerTemplate: "<span></span>",
        footerTemplate: footer,
        timeout: 120_000,
      });
    const pages = targetPages(Buffer.from(await print()).toString("latin1"));
    await page.evaluate(`window.mutwoPages(${JSON.stringify(Object.fromEntries(pages))})`);
    writeFileSync(file, await print());
  });
}

/**
 * The number of the page, from 1, on which each target of a link lies, by its name, in a PDF as Chromium writes it: its
 * objects stand in the file as text, and pages in the order of the lists that hold them (ISO 32000-1, 7.7.3 and 12.3.2.3).
 */
export function targetPages(pdf: string): Map<string, number> {
  const lists = new Map<string, string[]>();
  for (const [, id = "", body = ""] of pdf.matchAll(/\n(\d+) 0 obj\n<<\/Type \/Pages\b(.*?)>>\nendobj/gs))
    lists.set(id, /\/Kids \[(.*?)\]/s.exec(body)?.[1]?.match(/\d+(?= 0 R)/g) ?? []);
  const inner = new Set([...lists.values()].flat());
  const leaves = (id: string): string[] => lists.get(id)?.flatMap(leaves) ?? [id];
  const order = [...lists.keys()].filter((id) => !inner.has(id)).flatMap(leaves);
  return new Map(
    [...pdf.matchAll(/\/([\w-]+) \[(\d+) 0 R \/XYZ /g)].flatMap(([, name = "", id = ""]): [string, number][] =>
      order.includes(id) ? [[name, order.indexOf(id) + 1]] : [],
    ),
  );
}

/** Writes the plots of a run as `profiler_plots_<name>.png` into a folder; returns their paths. */
export async function chartPngs(browser: Browser, run: Run, folder: string): Promise<string[]> {
  return withPage(browser, async (page) => {
    await page.setContent("<!doctype html><body></body>");
    await page.addScriptTag({ content: plotlySource() });
    const files: string[] = [];
    for (const [name, plot] of Object.entries(plots)) {
      const figure = plot(run);
      if (!figure) continue;
      const file = path.join(folder, `profiler_plots_${name}.png`);
      writeFileSync(file, Buffer.from(await toPng(page, figure), "base64"));
      files.push(file);
    }
    return files;
  });
}

/** Control characters may not stand in the SVG that a picture is made of. */
const printable = (_key: string, value: unknown): unknown =>
  typeof value === "string" ? value.replace(/\p{Cc}/gu, "\ufffd") : value;

async function toPng(page: Page, { data, layout }: Figure): Promise<string> {
  const height = typeof layout.height === "number" ? layout.height : 600;
  const options = { format: "png", width: 1200, height, scale: 1.5 };
  const url = (await page.evaluate(
    `Plotly.toImage(${JSON.stringify({ data, layout }, printable)}, ${JSON.stringify(options)})`,
  )) as string;
  return url.slice(url.indexOf(",") + 1);
}
