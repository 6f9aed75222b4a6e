import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { writeFolder } from "../run/folder.js";
import { readRun } from "../run/read-run.js";
import type { Run } from "../run/run.js";
import { type Training, trainingOf } from "../train/training.js";
import { replaceFile, temporaryFolder } from "../writing.js";
import { reportPdf, withBrowser } from "./pdf.js";
import { modelsCsv } from "./training-models.js";
import { epochsCsv, stepsCsv, trainingHtml } from "./training-page.js";
import { type WriteOptions, writeRun } from "./write.js";

/** The files of a training's folder beside its pages; of several models each has those of its own in a folder of its name. */
const filesOf = ({ together }: Training): string[] =>
  together ? ["training.json", "models.csv"] : ["training.json", "epochs.csv", "steps.csv"];

/** Writes a training's record and tables, and those of each of its models. */
function writeTables(training: Training, folder: string): void {
  const { together } = training;
  writeFileSync(path.join(folder, "training.json"), `${JSON.stringify(training)}\n`);
  if (!together) {
    writeFileSync(path.join(folder, "epochs.csv"), epochsCsv(training));
    writeFileSync(path.join(folder, "steps.csv"), stepsCsv(training));
    return;
  }
  writeFileSync(path.join(folder, "models.csv"), modelsCsv(together));
  for (const model of together.models) {
    mkdirSync(path.join(folder, model.name));
    writeTables(trainingOf(training, model), path.join(folder, model.name));
  }
}

/**
 * Writes a training's folder: training.json, the epochs and the steps as CSV, report.html and report.pdf, and the folder
 * of the run that planned its step; of several models the same of each in a folder of its name (`m3`), but for the pages, and
 * models.csv. It appears complete or not at all. Without a usable browser the PDF is left out and a
 * warning says so. Returns the folder and the training as written. Throws `output folder not writable: …`, `disk full: …`.
 */
export async function writeTraining(
  training: Training,
  run: Run | null,
  options: WriteOptions = {},
): Promise<{ folder: string; training: Training }> {
  const folder = path.join(options.folder ?? "reports", training.id);
  const written = await writeFolder(folder, async (temporary) => {
    if (run) await writeRun(run, { folder: temporary, pictures: false });
    let final = training;
    const file = (name: string): string => path.join(temporary, name);
    const files = filesOf(training);
    let pictures: string[] = [];
    if (options.pictures ?? true)
      try {
        const html = trainingHtml(training, run, [...files, "report.pdf"]);
        await withBrowser((browser) => reportPdf(browser, html, file("report.pdf")));
        pictures = ["report.pdf"];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOSPC") throw error;
        const warnings = [...training.log.warnings, `no PDF: ${(error as Error).message}`];
        final = { ...training, log: { ...training.log, warnings } };
      }
    writeTables(final, temporary);
    writeFileSync(file("report.html"), trainingHtml(final, run, [...files, ...pictures]));
    return final;
  });
  return { folder, training: written };
}

/** Makes the report of a saved training again in its folder, each file replaced whole; returns the paths. */
export async function rewriteTraining(training: Training, folder: string, pictures: boolean): Promise<string[]> {
  const own = training.run === null ? undefined : path.join(folder, path.basename(training.run), "run.json");
  const run = own !== undefined && existsSync(own) ? readRun(own) : null;
  const temporary = temporaryFolder(folder);
  const files = filesOf(training);
  const made = new Map<string, string>();
  const put = (name: string): string => {
    made.set(path.join(temporary, name), path.join(folder, name));
    return path.join(temporary, name);
  };
  try {
    const hasPdf = pictures || readdirSync(folder).includes("report.pdf");
    const html = trainingHtml(training, run, [...files, ...(hasPdf ? ["report.pdf"] : [])]);
    if (pictures) await withBrowser((browser) => reportPdf(browser, html, put("report.pdf")));
    writeFileSync(put("report.html"), html);
    for (const [from, to] of made) replaceFile(from, to);
    return [...made.values()];
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
