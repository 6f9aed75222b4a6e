import type { Run } from "../run/run.js";
import { captions } from "./captions.js";
import { pageFigures } from "./charts.js";
import { decisionTable } from "./decisions.js";
import { memoryData } from "./memory.js";
import { type PageContent, pageHtml, pageHtmlBeside } from "./page.js";
import { folderFiles, sections } from "./sections.js";
import { pageTables } from "./tables.js";

/**
 * The report of a run as one HTML page that needs nothing else: styles, data and Plotly are inside. `files` are the names
 * of those beside it, to which it links; default those that a run's folder always has.
 */
export const reportHtml = (run: Run, files: readonly string[] = folderFiles(run)): string =>
  pageHtml(reportContent(run, files));

/** The same page; its data is compressed by another thread, while the caller does other things. */
export const reportHtmlBeside = (run: Run, files: readonly string[]): Promise<string> =>
  pageHtmlBeside(reportContent(run, files));

function reportContent(run: Run, files: readonly string[]): PageContent {
  const shared = {
    run,
    hasPlan: run.plan !== null,
    plannerName: run.plan?.planner ?? "",
    estimated: run.before.estimated ?? false,
    executed: run.after !== null,
    files,
  };
  const figures = pageFigures(run);
  const drawn = Object.keys(figures).filter((name) => figures[name] !== null);
  return {
    heading: run.model.file,
    sub: `mutwo report · run ${run.id} · ${run.createdAt}`,
    // a partial sees the run, its plan's name and what its section makes of the run
    sections: sections
      .filter(({ isShown }) => isShown?.(run) ?? true)
      .map(({ name, title, view }) => ({ name, title, view: { ...shared, ...view?.(run) } })),
    figures,
    captions: Object.fromEntries(drawn.map((name) => [name, captions[name]?.(run) ?? ""])),
    tables: { ...pageTables(run), ...(run.plan ? { decisions: decisionTable(run) } : {}) },
    memory: memoryData(run),
  };
}
