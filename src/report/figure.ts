import type { Category, Phase } from "../graph/graph.js";
import type { Action } from "../plan/plan.js";
import type { NodeRow } from "../run/node-rows.js";
import type { Run } from "../run/run.js";

/** A Plotly figure as a plain object. */
export interface Figure {
  readonly data: readonly object[];
  readonly layout: { readonly title: { readonly text: string; readonly font: object } } & Record<string, unknown>;
}

/** Okabe and Ito's palette, which colour-blind people can tell apart: one colour a category, everywhere. */
export const categoryColors: Readonly<Record<Category, string>> = {
  parameter: "#0072B2",
  "optimizer state": "#56B4E9",
  buffer: "#999999",
  constant: "#CCCCCC",
  input: "#F0E442",
  activation: "#D55E00",
  gradient: "#009E73",
  temporary: "#CC79A7",
};

export const phaseColors: Readonly<Record<Phase, string>> = {
  forward: "#0072B2",
  loss: "#F0E442",
  backward: "#D55E00",
  update: "#009E73",
};

/** What becomes of an activation, in the same palette. */
export const actionColors: Readonly<Record<Action, string>> = {
  keep: "#0072B2",
  recompute: "#D55E00",
  swap: "#009E73",
};

/** More points than this are no longer told apart, and make a page slow: charts show the largest and say so. */
const mostPoints = 4000;

/** The rows with the largest values, in their own order, and what to add to a title where some are left out. */
export function largest<Row>(rows: readonly Row[], value: (row: Row) => number, most = mostPoints) {
  if (rows.length <= most) return { shown: rows, note: "" };
  const values = Float64Array.from(rows, value);
  // numbers are sorted in place, without a call for each pair
  const limit = values.slice().sort().at(-most) as number;
  // of those as large as the least that is shown the first
  let equal = most - values.reduce((count, one) => count + Number(one > limit), 0);
  const isShown = (one: number): boolean => one > limit || (one === limit && equal-- > 0);
  const shown = rows.filter((_, i) => isShown(values[i] as number));
  return { shown, note: ` (the largest ${most} of ${rows.length})` };
}

/**
 * A text as Plotly shows it letter by letter: it takes what looks like a tag for one (`<a href=…>` becomes a link), and
 * what looks like an entity.
 */
export const label = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const entities: Readonly<Record<string, string>> = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/** What a label reads like: its entities as the letters that they stand for. */
export const readText = (text: string): string =>
  text.replace(/&(?:lt|gt|amp);/g, (entity) => entities[entity] as string);

/** A part of a figure with all its texts as labels; templates are markup, and make their own of names. */
function labelled(part: unknown): unknown {
  if (typeof part === "string") return label(part);
  if (Array.isArray(part)) return typeof part[0] === "number" ? part : part.map(labelled);
  if (typeof part !== "object" || part === null) return part;
  return Object.fromEntries(
    Object.entries(part).map(([key, value]) => [key, key === "hovertemplate" ? value : labelled(value)]),
  );
}

/** More bars than this are not told apart on a page: charts show the largest and say so. */
const mostBars = 40;

/** A figure of Plotly: its texts are shown as they are, whatever stands in them. */
export const figure = (title: string, x: object, y: object, data: readonly object[], more: object = {}): Figure =>
  labelled(plainFigure(title, x, y, data, more)) as Figure;

const plainFigure = (title: string, x: object, y: object, data: readonly object[], more: object): Figure => ({
  data,
  layout: {
    title: { text: title, font: { size: 15 } },
    font: { family: "Inter, Open Sans, Helvetica, Arial, sans-serif", size: 12, color: "#222" },
    margin: { l: 70, r: 20, t: 50, b: 50 },
    paper_bgcolor: "#fff",
    plot_bgcolor: "#fff",
    xaxis: { gridcolor: "#eee", zerolinecolor: "#ccc", automargin: true, ...x },
    yaxis: { gridcolor: "#eee", zerolinecolor: "#ccc", automargin: true, ...y },
    // below everything, whatever the height
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
    ...more,
  },
});

export const mib = (bytes: number): number => bytes / 2 ** 20;

export const bytesAxis = { title: { text: "MiB" }, rangemode: "tozero" };

export const rankAxis = { title: { text: "node, in schedule order" } };

/** More borders than that (of many micro-batches) would hide the picture: only the first of each phase is drawn. */
const mostBorders = 24;

/** Vertical lines where a phase begins, with its name; with micro-batches phases come again. */
export function phaseBorders(nodes: readonly Pick<NodeRow, "phase">[]): { shapes: object[]; annotations: object[] } {
  const changes = nodes.flatMap(({ phase }, at) => (phase === nodes[at - 1]?.phase ? [] : [{ phase, at }]));
  const starts =
    changes.length <= mostBorders
      ? changes
      : changes.filter(({ phase }, i) => changes.findIndex((other) => other.phase === phase) === i);
  return {
    shapes: starts.map(({ at }) => ({
      type: "line",
      x0: at - 0.5,
      x1: at - 0.5,
      yref: "paper",
      y0: 0,
      y1: 1,
      line: { color: "#666", width: 1, dash: "dot" },
    })),
    // the loss is a few nodes wide: its name would lie on the next one
    annotations: starts
      .filter(({ phase }) => phase !== "loss")
      .map(({ phase, at }) => ({
        x: at,
        yref: "paper",
        y: 1.01,
        text: phase,
        showarrow: false,
        xanchor: "left",
        yanchor: "bottom",
        font: { size: 11, color: "#444" },
      })),
  };
}

export const shorten = (name: string): string => (name.length > 48 ? `…${name.slice(-47)}` : name);

/** Horizontal bars of the largest values; says how many are left out. */
export function bars<Row>(
  title: string,
  unit: string,
  rows: readonly Row[],
  name: (row: Row) => string,
  value: (row: Row) => number,
  color: (row: Row) => string,
): Figure {
  const shown = [...rows].sort((a, z) => value(z) - value(a)).slice(0, mostBars);
  const rest = rows.length - shown.length;
  shown.reverse();
  return figure(
    rest > 0 ? `${title} (the largest ${shown.length} of ${rows.length})` : title,
    { title: { text: unit }, rangemode: "tozero" },
    {
      tickfont: { size: 10 },
      type: "category",
      tickvals: shown.map((_, i) => i),
      ticktext: shown.map((row) => shorten(name(row))),
    },
    [
      {
        type: "bar",
        orientation: "h",
        x: shown.map(value),
        y: shown.map((_, i) => i),
        text: shown.map(name),
        textposition: "none",
        hovertemplate: `%{text}<br>%{x:.4g} ${unit}<extra></extra>`,
        marker: { color: shown.map(color) },
      },
    ],
    { height: Math.max(260, 110 + 17 * shown.length), showlegend: false },
  );
}

/** A title or a unit of times, marked where they are estimated. */
export const timed = ({ before }: Run, text: string): string => (before.estimated ? `${text}, estimated` : text);
