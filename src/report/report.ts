import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import Handlebars from "handlebars";
import { ownPath } from "../root.js";
import type { Run } from "../run/run.js";
import { captions } from "./captions.js";
import { pageFigures } from "./charts.js";
import { decisionTable } from "./decisions.js";
import { shorten } from "./figure.js";
import { memoryData } from "./memory.js";
import { compressed, packed } from "./page-data.js";
import { plotlySource } from "./plotly.js";
import { folderFiles, sections } from "./sections.js";
import { type PageTable, pageTables } from "./tables.js";

/** The templates lie beside src/ and dist/. */
const folder = ownPath("templates");

const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");

/** The page's own scripts, in the order in which they run. */
const scripts = ["base", "format", "charts", "memory", "grid", "frame"];

/** The parts of every page that no run decides, by their place in the template; all but `plotly` as they are read. */
export const pageParts = once(() => ({
  css: read("report.css"),
  theme: read("page/theme.js"),
  js: scripts.map((name) => read(`page/${name}.js`)).join(""),
  plotly: compressed(plotlySource()),
}));

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const hashOf = (script: string): string => `'sha256-${createHash("sha256").update(script).digest("base64")}'`;

/** Nothing is fetched, and nothing runs but the page's own scripts and the chart library. */
const contentPolicy = once(() => {
  const { theme, js } = pageParts();
  const allowed = [theme, js, plotlySource()].map(hashOf).join(" ");
  return `default-src 'none'; script-src ${allowed}; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'none'; form-action 'none'; base-uri 'none'`;
});

/** Texts in a cell that is no name are cut after so many characters; the CSV has them whole. */
const mostCharacters = 300;

/** A table by columns: what is alike stands together. */
const byColumns = ({ columns, rows }: PageTable) => ({
  count: rows.length,
  columns: columns.map((column, i) => ({
    ...column,
    values: rows.map((row) => {
      const cell = row[i] ?? null;
      const isCut = typeof cell === "string" && cell.length > mostCharacters && !column.name.endsWith("_name");
      return isCut ? `${cell.slice(0, mostCharacters)}… (${cell.length} characters, whole in the CSV)` : cell;
    }),
  })),
});

/** What the page's scripts draw: figures, tables and memory over time. */
function pageData(run: Run) {
  const tables = { ...pageTables(run), ...(run.plan ? { decisions: decisionTable(run) } : {}) };
  return {
    figures: pageFigures(run),
    tables: Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, byColumns(table)])),
    memory: memoryData(run),
  };
}

/** Everything the templates show: a partial sees the run, its plan's name and what its section makes of the run. */
function view(run: Run, files: readonly string[]) {
  const data = pageData(run);
  const shared = {
    run,
    hasPlan: run.plan !== null,
    plannerName: run.plan?.planner ?? "",
    estimated: run.before.estimated ?? false,
    executed: run.after !== null,
    files,
  };
  const shown = sections
    .filter(({ isShown }) => isShown?.(run) ?? true)
    .map(({ name, title, view }) => ({ name, title, view: { ...shared, ...view?.(run) } }));
  const drawn = Object.entries(data.figures).filter(([, figure]) => figure !== null);
  return {
    ...pageParts(),
    run,
    policy: contentPolicy(),
    sections: shown,
    texts: Object.fromEntries(drawn.map(([name]) => [name, captions[name]?.(run) ?? ""])),
    heights: Object.fromEntries(drawn.map(([name, figure]) => [name, Number(figure?.layout.height ?? 420)])),
    titles: Object.fromEntries(drawn.map(([name, figure]) => [name, figure?.layout.title.text ?? ""])),
    data: compressed(JSON.stringify(packed(data))),
  };
}

type View = ReturnType<typeof view>;

const escaped = Handlebars.escapeExpression;

/** A chart's place with what it shows in words; nothing where the run has no such chart. */
function chart(name: string, { data }: Handlebars.HelperOptions): Handlebars.SafeString {
  const { texts, titles, heights } = data.root as View;
  const text = texts[name];
  if (text === undefined) return new Handlebars.SafeString("");
  return new Handlebars.SafeString(
    `<figure><p class="title">${escaped(titles[name] ?? "")}</p><div class="chart" data-figure="${escaped(name)}" style="min-height:${heights[name]}px" role="group" aria-label="Chart: ${escaped(titles[name] ?? "")}"></div><figcaption>${escaped(text)}</figcaption></figure>`,
  );
}

/** The part of an address that leads to a row of a table; lone halves of surrogate pairs have no address of their own. */
const hashFor = (kind: string, name: string): string => `#${kind}-${encodeURIComponent(Buffer.from(name).toString())}`;

/** A name, shortened, that leads to its row in a table: `node` or `activation`. */
const rowLink = (kind: string, name: string): Handlebars.SafeString =>
  new Handlebars.SafeString(
    `<a class="name" href="${escaped(hashFor(kind, name))}" title="${escaped(name.slice(0, 500))}">${escaped(shorten(name))}</a>`,
  );

const compiled = once(() => {
  const environment = Handlebars.create();
  environment.registerHelper({ chart, rowLink });
  for (const { name } of sections) environment.registerPartial(name, read(`partials/${name}.hbs`));
  for (const name of ["branch", "branch-row"]) environment.registerPartial(name, read(`parts/${name}.hbs`));
  return environment.compile<View>(read("report.hbs"), { strict: true });
});

/**
 * The report of a run as one HTML page that needs nothing else: styles, data and Plotly are inside. `files` are the names
 * of those beside it, to which it links; default those that a run's folder always has.
 */
export function reportHtml(run: Run, files: readonly string[] = folderFiles(run)): string {
  return compiled()(view(run, files));
}
