import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import Handlebars from "handlebars";
import { ownPath } from "../root.js";
import { type Figure, readText, shorten } from "./figure.js";
import { compressed, compressedBeside, packed } from "./page-data.js";
import { plotlySource } from "./plotly.js";
import type { PageTable } from "./tables.js";

/** The templates lie beside src/ and dist/. */
const folder = ownPath("templates");

const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");

/** The page's own scripts, in the order in which they run. */
const scripts = ["base", "format", "charts", "memory", "grid", "frame"];

/** The texts of every page that no content decides, as they are read. */
const pageTexts = once(() => ({
  css: read("report.css"),
  theme: read("page/theme.js"),
  js: scripts.map((name) => read(`page/${name}.js`)).join(""),
}));

/** The same with the chart library, compressed: by their place in the template. */
export const pageParts = once(() => ({ ...pageTexts(), plotly: compressed(plotlySource()) }));

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
  const { theme, js } = pageTexts();
  const allowed = [theme, js, plotlySource()].map(hashOf).join(" ");
  return `default-src 'none'; script-src ${allowed}; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'none'; form-action 'none'; base-uri 'none'`;
});

/** Texts in a cell that is no name are cut after so many characters; the CSV has them whole. */
const mostCharacters = 300;

/** A table whose long texts are cut. */
const shortened = ({ count, columns }: PageTable): PageTable => ({
  count,
  columns: columns.map((column) =>
    column.kind === "text" && !column.name.endsWith("_name")
      ? { ...column, values: column.values.map((cell) => (typeof cell === "string" ? cut(cell) : cell)) }
      : column,
  ),
});

const cut = (text: string): string =>
  text.length > mostCharacters
    ? `${text.slice(0, mostCharacters)}… (${text.length} characters, whole in the CSV)`
    : text;

/** One section of a page: the template that shows it, its head, and what the template shows. */
export interface PageSection {
  /** Names the template, and the element's id. */
  readonly name: string;
  readonly title: string;
  readonly view: object;
}

/** What a page shows. */
export interface PageContent {
  /** The page's head, and the line below it. */
  readonly heading: string;
  readonly sub: string;
  readonly sections: readonly PageSection[];
  /** Charts by name; null for one that there is nothing for. */
  readonly figures: Readonly<Record<string, Figure | null>>;
  /** What each chart shows, in words. */
  readonly captions: Readonly<Record<string, string>>;
  /** Tables by name. */
  readonly tables: Readonly<Record<string, PageTable>>;
  /** Memory over the step, for the page's own chart. */
  readonly memory?: object;
}

/** What the page's scripts show, as JSON. */
const dataText = ({ figures, tables, memory }: PageContent): string =>
  JSON.stringify(
    packed({
      figures,
      tables: Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, shortened(table)])),
      memory: memory ?? null,
    }),
  );

/** Everything the template shows; the page's data and the chart library are compressed. */
function view(
  { heading, sub, sections, figures, captions }: PageContent,
  { data, plotly }: { readonly data: string; readonly plotly: string },
) {
  const drawn = Object.entries(figures).filter(([, figure]) => figure !== null);
  return {
    ...pageTexts(),
    plotly,
    heading,
    sub,
    policy: contentPolicy(),
    sections,
    texts: Object.fromEntries(drawn.map(([name]) => [name, captions[name] ?? ""])),
    heights: Object.fromEntries(drawn.map(([name, figure]) => [name, Number(figure?.layout.height ?? 420)])),
    titles: Object.fromEntries(drawn.map(([name, figure]) => [name, readText(figure?.layout.title.text ?? "")])),
    data,
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

/** Templates by the folder that they are in: of a run's sections, and of parts and other pages. */
const templateFolders = ["partials", "parts"];

const compiled = once(() => {
  const environment = Handlebars.create();
  environment.registerHelper({ chart, rowLink });
  for (const place of templateFolders)
    for (const file of readdirSync(path.join(folder, place)))
      environment.registerPartial(file.replace(/\.hbs$/, ""), read(`${place}/${file}`));
  return environment.compile<View>(read("report.hbs"), { strict: true });
});

/** A page that needs nothing else: styles, data and Plotly are inside. */
export const pageHtml = (content: PageContent): string =>
  compiled()(view(content, { data: compressed(dataText(content)), plotly: pageParts().plotly }));

/** The same page; what is in it is compressed by another thread, while the caller does other things. */
export const pageHtmlBeside = async (content: PageContent): Promise<string> => {
  const made = Promise.all([compressedBeside(dataText(content)), compressedBeside(plotlySource())]);
  const template = compiled();
  const [data, plotly] = await made;
  return template(view(content, { data, plotly }));
};
