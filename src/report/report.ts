import { readFileSync } from "node:fs";
import path from "node:path";
import Handlebars from "handlebars";
import { ownPath } from "../root.js";
import type { Run } from "../run/run.js";
import { pageFigures } from "./charts.js";
import { plotlySource } from "./plotly.js";
import { sections } from "./sections.js";
import { pageTables } from "./tables.js";

/** The templates lie beside src/ and dist/. */
const folder = ownPath("templates");

const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");

/** JSON that may stand in a script element. */
const scriptJson = (value: unknown): string => JSON.stringify(value).replace(/</g, "\\u003c");

/** Everything the templates show: a partial sees the run, its plan's name and what its section makes of the run. */
function view(run: Run) {
  const estimated = run.before.estimated ?? false;
  const shared = {
    run,
    hasPlan: run.plan !== null,
    plannerName: run.plan?.planner ?? "",
    estimated,
    executed: run.after !== null,
  };
  return {
    run,
    sections: sections.map(({ name, view }) => ({ name, view: { ...shared, ...view?.(run) } })),
    figures: scriptJson(pageFigures(run)),
    tables: scriptJson(pageTables(run)),
    plotly: plotlySource(),
    css: read("report.css"),
    js: read("report.js"),
  };
}

let compiled: ((context: ReturnType<typeof view>) => string) | undefined;

/** The report of a run as one HTML page that needs nothing else: styles, data and Plotly are inside. */
export function reportHtml(run: Run): string {
  if (!compiled) {
    const environment = Handlebars.create();
    for (const { name } of sections) environment.registerPartial(name, read(`partials/${name}.hbs`));
    compiled = environment.compile(read("report.hbs"), { strict: true });
  }
  return compiled(view(run));
}
