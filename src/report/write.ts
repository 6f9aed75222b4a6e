import { readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { writeFolder } from "../run/folder.js";
import type { Run } from "../run/run.js";
import { replaceFile, temporaryFolder, writeMeanwhile } from "../writing.js";
import { findingsJson } from "./finding-text.js";
import { chartPngs, reportPdf, withBrowser } from "./pdf.js";
import { reportHtml, reportHtmlBeside } from "./report.js";
import { folderFiles } from "./sections.js";
import { activationCsv, moduleCsv, nodeCsv, tradeoffCsv } from "./tables.js";

/** Where a run's folder is written, and what goes into it. */
export interface WriteOptions {
  /** Folder of all runs; the run gets a folder of its own in it, named by its id. Default `reports`. */
  readonly folder?: string;
  /** Also report.pdf and the PNG files, which need a browser; default true. */
  readonly pictures?: boolean;
}

/**
 * Writes a run's folder: run.json, findings.json, the CSV tables (with a plan also those of the planned step, after a sweep its own), report.html, report.pdf and the plots. It appears complete or not
 * at all. Without a usable browser the pictures are left out and a warning in the run says so. Returns the folder and
 * the run as written. Throws `output folder not writable: …`, `disk full: …`.
 */
export async function writeRun(run: Run, options: WriteOptions = {}): Promise<{ folder: string; run: Run }> {
  const folder = path.join(options.folder ?? "reports", run.id);
  const written = await writeFolder(folder, async (temporary) => {
    const file = (name: string): string => path.join(temporary, name);
    let final = run;
    let pictures: string[] = [];
    if (options.pictures ?? true) {
      try {
        await withBrowser(async (browser) => {
          const pngs = await chartPngs(browser, run, temporary);
          pictures = ["report.pdf", ...pngs.map((png) => path.basename(png))];
          await reportPdf(browser, reportHtml(run, [...folderFiles(run), ...pictures]), file("report.pdf"));
        });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOSPC") throw error;
        pictures = [];
        const text = `no PDF and no plots: ${(error as Error).message}`;
        final = { ...run, warnings: [...run.warnings, { about: "run", text }] };
      }
    }
    // the page's data is compressed, and the run written, while the tables are made
    const page = reportHtmlBeside(final, [...folderFiles(final), ...pictures]);
    // the line's end apart: joined first, the text would be copied, which takes longer than writing it
    const saved = writeMeanwhile(file("run.json"), JSON.stringify(final), "\n");
    for (const one of [page, saved]) one.catch(() => {}); // whoever waits for it is told, unless writing fails before
    writeFileSync(file("profiler_stats_node_stats.csv"), nodeCsv(final));
    writeFileSync(file("profiler_stats_activation_stats.csv"), activationCsv(final));
    writeFileSync(file("modules.csv"), moduleCsv(final));
    if (final.plan) {
      writeFileSync(file("planned-nodes.csv"), nodeCsv(final, "planned"));
      writeFileSync(file("planned-activations.csv"), activationCsv(final, "planned"));
      writeFileSync(file("planned-modules.csv"), moduleCsv(final, "planned"));
    }
    if (final.tradeoff) writeFileSync(file("tradeoff.csv"), tradeoffCsv(final));
    writeFileSync(file("findings.json"), findingsJson(final));
    writeFileSync(file("report.html"), await page);
    await saved;
    return final;
  });
  return { folder, run: written };
}

/** Makes the report of a saved run again in its folder, each file replaced whole; returns the paths. */
export async function rewriteReport(run: Run, folder: string, pictures: boolean): Promise<string[]> {
  const made = new Map<string, string>();
  const temporary = temporaryFolder(folder);
  try {
    const put = (name: string): string => {
      made.set(path.join(temporary, name), path.join(folder, name));
      return path.join(temporary, name);
    };
    // with the pictures that are made now, or else with those that are there
    const isPicture = (name: string): boolean => name === "report.pdf" || name.endsWith(".png");
    const page = (names: readonly string[]): string =>
      reportHtml(run, [...folderFiles(run), ...names.filter(isPicture).sort()]);
    let html = page(readdirSync(folder));
    if (pictures)
      await withBrowser(async (browser) => {
        const pngs = (await chartPngs(browser, run, temporary)).map((png) => path.basename(png));
        for (const png of pngs) put(png);
        html = page(["report.pdf", ...pngs]);
        await reportPdf(browser, html, put("report.pdf"));
      });
    writeFileSync(put("report.html"), html);
    writeFileSync(put("findings.json"), findingsJson(run));
    for (const [from, to] of made) replaceFile(from, to);
    return [...made.values()];
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
