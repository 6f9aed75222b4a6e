import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { type Figure, readText } from "../report/figure.js";
import { plotlySource } from "../report/plotly.js";
import { type Bundle, escapeHtml, runningKernel } from "./cell.js";
import { picture } from "./picture.js";

/** A Plotly figure: data, and a layout if it has one. */
export type AnyFigure = Pick<Figure, "data"> & { readonly layout?: object };

/** Larger figures are not stored a second time in Plotly's own format: the HTML holds them compressed. */
const mostJsonBytes = 32_000;

const packed = (text: string): string => gzipSync(text, { level: 9 }).toString("base64");

/** What the scripts of an output need: a text that was packed. */
const unpack =
  "const unpack=async(b)=>new Response(new Blob([Uint8Array.from(atob(b),(c)=>c.charCodeAt(0))]).stream()" +
  '.pipeThrough(new DecompressionStream("gzip"))).text();';

let library: string | undefined;

/** A script that gives the page Plotly, unless it has it: two thirds of a megabyte, once in a notebook. */
export function libraryHtml(): string {
  library ??=
    `<script>(async()=>{if(window.Plotly)return;${unpack}` +
    `const source=await unpack("${packed(plotlySource())}");` +
    // where a page has require.js, Plotly would hand itself to that instead of becoming a global
    "const define=window.define;window.define=undefined;" +
    'const script=document.createElement("script");script.textContent=source;document.head.append(script);' +
    'window.define=define;window.dispatchEvent(new Event("mutwo-plotly"))})()</script>';
  return library;
}

/** Whether an output's HTML brings the library. */
export const bringsLibrary = (html: string): boolean => html.includes('new Event("mutwo-plotly")');

/** The HTML without the library: pictures stay. */
export const withoutLibrary = (html: string): string =>
  html.replace(/<script>\(async\(\)=>\{if\(window\.Plotly\)return;.*?<\/script>/gs, "");

/** Whether two executions are of one cell: by its id, where there is none by how its text begins. */
function isSameCell(one: { id?: string; code: string }, other: { id?: string; code: string }): boolean {
  if (one.id !== undefined || other.id !== undefined) return one.id === other.id;
  const length = Math.ceil(Math.min(one.code.length, other.code.length) / 2);
  return one.code.slice(0, length) === other.code.slice(0, length);
}

/**
 * Whether the figure's output has to bring the library: the first one of a session does, and again when its cell runs
 * again, since the new output takes the place of the one that brought it.
 */
function needsLibrary(): boolean {
  const kernel = runningKernel();
  if (!kernel?.cell) return true;
  const { cell, library } = kernel;
  if (library && (library.count === cell.count || !isSameCell(library, cell))) return false;
  kernel.library = { id: cell.id, code: cell.code, count: cell.count };
  return true;
}

/** Typed arrays as lists: they would become objects. */
const jsonOf = (figure: AnyFigure): string =>
  JSON.stringify({ data: figure.data, layout: figure.layout ?? {} }, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
  );

/** A still picture that a live chart takes the place of, where scripts run. */
function figureHtml(
  json: string,
  svg: string | undefined,
  { title, height }: { title: string; height: number },
): string {
  const id = `mutwo-${randomUUID()}`;
  const still = svg
    ? `<img alt="${escapeHtml(title)}" style="max-width:100%" src="data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}">`
    : `<p>${escapeHtml(title)}</p>`;
  return (
    `<div id="${id}" class="mutwo-figure" style="min-height:${height}px">${still}</div>` +
    `<script>{${unpack}const draw=async(tries)=>{const place=document.getElementById("${id}");` +
    "if(!place){if(tries)setTimeout(draw,100,tries-1);return}" +
    `const {data,layout}=JSON.parse(await unpack("${packed(json)}"));place.replaceChildren();` +
    "await Plotly.newPlot(place,data,layout,{responsive:true,displaylogo:false});place.dataset.drawn=1};" +
    'if(window.Plotly)draw(50);else window.addEventListener("mutwo-plotly",()=>draw(50),{once:true})}</script>'
  );
}

/**
 * A figure as front ends show it: a live chart in HTML, with a still picture in its place until the chart library is there
 * (or for ever, where no script runs); the picture alone; Plotly's own format, unless it is large; a line of text.
 */
export function figureBundle(figure: AnyFigure): Bundle {
  const json = jsonOf(figure);
  const plain = JSON.parse(json) as { data: object[]; layout: { height?: number; title?: { text?: string } } };
  const { data, layout } = plain;
  const svg = picture(plain);
  const traces = `${data.length} ${data.length === 1 ? "trace" : "traces"}`;
  const title = readText(layout.title?.text ?? "figure");
  const html = figureHtml(json, svg, { title, height: layout.height ?? 400 });
  return {
    ...(json.length <= mostJsonBytes ? { "application/vnd.plotly.v1+json": plain } : {}),
    "text/html": needsLibrary() ? libraryHtml() + html : html,
    ...(svg ? { "image/svg+xml": svg } : {}),
    "text/plain": `Plotly figure: ${title === "figure" ? traces : `${title} (${traces})`}`,
  };
}
