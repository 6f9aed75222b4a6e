import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Browser, Page } from "puppeteer";
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

/** Prints a report as A4 pages. The page draws its charts itself and says when it is done. */
export async function reportPdf(browser: Browser, html: string, file: string): Promise<void> {
  await withPage(browser, async (page) => {
    await page.setViewport({ width: 1000, height: 1400 });
    await page.setContent(html, { waitUntil: "load", timeout: 120_000 });
    await page.evaluate("window.mutwoPrint()");
    const pdf = await page.pdf({
      format: "A4",
      printBackground: true,
      margin: { top: "14mm", bottom: "16mm", left: "12mm", right: "12mm" },
      displayHeaderFooter: true,
      headerTemplate: "<span></span>",
      footerTemplate: `<div style="font-size:8px;width:100%;text-align:center;color:#666"><span class="pageNumber"></span> / <span class="totalPages"></span></div>`,
      timeout: 120_000,
    });
    writeFileSync(file, pdf);
  });
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

async function toPng(page: Page, { data, layout }: Figure): Promise<string> {
  const height = typeof layout.height === "number" ? layout.height : 600;
  const options = { format: "png", width: 1200, height, scale: 1.5 };
  const url = (await page.evaluate(
    `Plotly.toImage(${JSON.stringify({ data, layout })}, ${JSON.stringify(options)})`,
  )) as string;
  return url.slice(url.indexOf(",") + 1);
}
