import { type Figure, readText } from "../report/figure.js";
import { escapeHtml } from "./cell.js";
import { type Axis, type Scale, scaleOf, type Value } from "./scale.js";

/** What of Plotly's traces is drawn. */
interface Trace {
  readonly type?: string;
  readonly mode?: string;
  readonly name?: string;
  readonly x?: readonly (Value | null)[];
  readonly y?: readonly (Value | null)[];
  readonly orientation?: string;
  readonly stackgroup?: string;
  readonly xaxis?: string;
  readonly visible?: boolean | string;
  readonly showlegend?: boolean;
  readonly fillcolor?: string;
  readonly line?: { readonly color?: string; readonly shape?: string };
  readonly marker?: { readonly color?: unknown };
}

/** What of Plotly's layout is drawn. */
interface Layout extends Readonly<Record<string, unknown>> {
  readonly title?: { readonly text?: string };
  readonly height?: number;
  readonly barmode?: string;
  readonly showlegend?: boolean;
}

/** One mark of a trace: where along the axis, and from where to where across it. */
interface Mark {
  readonly key: Value;
  readonly base: number;
  readonly end: Value;
}

interface Series {
  readonly trace: Trace;
  readonly marks: readonly Mark[];
  readonly color: string;
  /** Of its bars: how far beside the middle, as a share of their room, and how wide. */
  readonly bar: { readonly shift: number; readonly share: number };
}

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const width = 800;

const palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#999999"];

const isBar = ({ type }: Trace): boolean => type === "bar";
const isFlat = ({ orientation }: Trace): boolean => orientation === "h";

const place = (value: number): string => String(Math.round(value * 10) / 10);

const words = (x: number, y: number, anchor: string, label: string): string => {
  const text = readText(label);
  return `<text x="${place(x)}" y="${place(y)}" text-anchor="${anchor}">${escapeHtml(text.length > 40 ? `…${text.slice(-39)}` : text)}</text>`;
};

const isKnown = (value: Value | null | undefined): value is Value =>
  value !== null && value !== undefined && !Number.isNaN(value);

/** The points of a trace whose values are both known, along its axis and across it. */
function pointsOf(trace: Trace): { key: Value; value: Value }[] {
  const [keys, values] = isFlat(trace) ? [trace.y, trace.x] : [trace.x, trace.y];
  return (values ?? []).flatMap((value, i) => {
    const key = keys ? keys[i] : i;
    return isKnown(key) && isKnown(value) ? [{ key, value }] : [];
  });
}

/** Traces with their marks: what is stacked stands on what was stacked before. */
function seriesOf(traces: readonly Trace[], barmode: string | undefined): Series[] {
  const stacks = new Map<string, Map<Value, number>>();
  const beside = barmode === "stack" ? 1 : Math.max(1, traces.filter(isBar).length);
  return traces.map((trace, number) => {
    const group = trace.stackgroup ?? (isBar(trace) && barmode === "stack" ? "bars" : undefined);
    const heights = stacks.get(group ?? "") ?? new Map<Value, number>();
    if (group !== undefined) stacks.set(group, heights);
    const marks = pointsOf(trace).map(({ key, value }): Mark => {
      const base = (group !== undefined && heights.get(key)) || 0;
      const end = typeof value === "number" ? base + value : value;
      if (typeof end === "number") heights.set(key, end);
      return { key, base, end };
    });
    const own = trace.line?.color ?? trace.marker?.color;
    const color = typeof own === "string" ? own : (palette[number % palette.length] as string);
    const rank = traces.slice(0, number).filter(isBar).length;
    return {
      trace,
      marks,
      color,
      bar: { shift: (beside > 1 ? rank - (beside - 1) / 2 : 0) / beside, share: 0.8 / beside },
    };
  });
}

function bars({ trace, marks, color, bar }: Series, x: Scale, y: Scale): string {
  const [along, across] = isFlat(trace) ? [y, x] : [x, y];
  const thick = Math.max(1, along.unit * bar.share);
  const colors = trace.marker?.color;
  return marks
    .map(({ key, base, end }, i) => {
      const start = along.at(key) + along.unit * bar.shift * 0.8 - thick / 2;
      const low = Math.min(across.at(base), across.at(end));
      const long = Math.abs(across.at(end) - across.at(base));
      const [left, top, wide, high] = isFlat(trace) ? [low, start, long, thick] : [start, low, thick, long];
      const fill = Array.isArray(colors) ? String(colors[i] ?? color) : color;
      return `<rect x="${place(left)}" y="${place(top)}" width="${place(wide)}" height="${place(high)}" fill="${escapeHtml(fill)}"/>`;
    })
    .join("");
}

type Point = readonly [x: number, y: number];

/** The corners of a line: with steps a value holds until the next one; points amid a level stretch say nothing. */
function corners(points: readonly Point[], steps: boolean): Point[] {
  const all = steps
    ? points.flatMap(([x, y], i): Point[] =>
        i
          ? [
              [x, (points[i - 1] as Point)[1]],
              [x, y],
            ]
          : [[x, y]],
      )
    : [...points];
  return all.filter(([, y], i) => {
    const [before, after] = [all[i - 1], all[i + 1]];
    return !before || !after || before[1] !== y || after[1] !== y;
  });
}

/** Of many points those that show: the first, lowest and highest one of each column of the picture. */
function visible(points: readonly Point[]): Point[] {
  if (points.length <= 2 * width) return [...points];
  const columns = new Map<number, { first: Point; low: Point; high: Point }>();
  for (const point of points) {
    const known = columns.get(Math.round(point[0]));
    if (!known) columns.set(Math.round(point[0]), { first: point, low: point, high: point });
    else if (point[1] < known.low[1]) known.low = point;
    else if (point[1] > known.high[1]) known.high = point;
  }
  return [...columns.values()].flatMap(({ first, low, high }) => [first, low, high]);
}

const pathOf = (points: readonly Point[]): string =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${place(x)} ${place(y)}`).join("");

function lines({ trace, marks, color }: Series, x: Scale, y: Scale): string {
  const steps = trace.line?.shape === "hv";
  const upper = visible(marks.map(({ key, end }): Point => [x.at(key), y.at(end)]));
  if (trace.stackgroup !== undefined) {
    const lower = visible(marks.map(({ key, base }): Point => [x.at(key), y.at(base)]));
    const outline = [...corners(upper, steps), ...corners(lower, steps).reverse()];
    return `<path d="${pathOf(outline)}Z" fill="${escapeHtml(trace.fillcolor ?? color)}"/>`;
  }
  const mode = trace.mode ?? "lines";
  const fill = escapeHtml(color);
  const dots = upper.map(([px, py]) => `<circle cx="${place(px)}" cy="${place(py)}" r="3" fill="${fill}"/>`);
  const line = `<path d="${pathOf(corners(upper, steps))}" fill="none" stroke="${fill}" stroke-width="1.5"/>`;
  return `${mode.includes("lines") ? line : ""}${mode.includes("markers") ? dots.join("") : ""}`;
}

/** Traces on their two axes, with grid and titles. */
function plot(
  traces: readonly Trace[],
  axes: { readonly x: Axis; readonly y: Axis },
  frame: Frame,
  barmode?: string,
): string {
  const { left, right, top, bottom } = frame;
  const series = seriesOf(traces, barmode);
  const flat = traces.some(isFlat);
  const hasBars = traces.some(isBar);
  const keys = series.flatMap(({ marks }) => marks.map(({ key }) => key));
  const values = series.flatMap(({ marks }) => marks.map(({ end }) => end));
  const room = hasBars ? 0.5 : 0;
  const fromZero = (axis: Axis): Axis => (hasBars ? { ...axis, rangemode: "tozero" } : axis);
  const x = flat ? scaleOf(values, fromZero(axes.x), left, right, 0) : scaleOf(keys, axes.x, left, right, room);
  const y = flat ? scaleOf(keys, axes.y, bottom, top, room) : scaleOf(values, fromZero(axes.y), bottom, top, 0);
  return [
    ...x.ticks.map(
      ([at, text]) =>
        `<path d="M${place(at)} ${top}V${bottom}" stroke="#ddd"/>${words(at, bottom + 16, "middle", text)}`,
    ),
    ...y.ticks.map(
      ([at, text]) => `<path d="M${left} ${place(at)}H${right}" stroke="#ddd"/>${words(left - 6, at + 4, "end", text)}`,
    ),
    ...series.map((one) => (isBar(one.trace) ? bars(one, x, y) : lines(one, x, y))),
    words((left + right) / 2, bottom + 34, "middle", axes.x.title?.text ?? ""),
    flat ? "" : words(left - 50, top - 8, "start", axes.y.title?.text ?? ""),
  ].join("");
}

/** A square and a name for each trace that has one, in as many lines as they need. */
function legend(traces: readonly Trace[], top: number): { svg: string; height: number } {
  let [x, y] = [60, top];
  const items = traces.map((trace, i) => {
    const name = trace.name as string;
    const room = 30 + 6.5 * readText(name).length;
    if (x + room > width - 20) [x, y] = [60, y + 18];
    const own = trace.fillcolor ?? trace.line?.color ?? trace.marker?.color;
    const color = typeof own === "string" ? own : (palette[i % palette.length] as string);
    const item = `<rect x="${place(x)}" y="${place(y - 9)}" width="10" height="10" fill="${escapeHtml(color)}"/>${words(x + 15, y, "start", name)}`;
    x += room;
    return item;
  });
  return { svg: items.join(""), height: items.length ? y - top + 18 : 0 };
}

/**
 * A figure as a still picture (SVG), for where no script runs: lines, areas, points and bars on one pair of axes or on
 * several side by side. undefined for figures with anything else in them.
 */
export function picture({ data, layout }: Pick<Figure, "data"> & { readonly layout?: object }): string | undefined {
  const traces = (data as readonly Trace[]).filter(({ visible }) => visible !== false && visible !== "legendonly");
  if (!traces.every(({ type = "scatter" }) => type === "scatter" || type === "bar")) return undefined;
  const settings = (layout ?? {}) as Layout;
  const height = settings.height ?? 400;
  const names =
    settings.showlegend === false ? [] : traces.filter(({ name, showlegend }) => name && showlegend !== false);
  const below = legend(names.length > 1 ? names : [], height - 12);
  const left = traces.some(isFlat) ? 260 : 70;
  const frame = { top: 50, bottom: height - 52 - below.height };
  const pairs = [...new Set(traces.map(({ xaxis = "x" }) => xaxis))];
  const plots = pairs.map((pair) => {
    const number = pair.slice(1);
    const x = (settings[`xaxis${number}`] ?? {}) as Axis;
    const y = (settings[`yaxis${number}`] ?? {}) as Axis;
    const [from, to] = x.domain ?? [0, 1];
    const room = width - 20 - left;
    const place = { ...frame, left: left + from * room, right: left + to * room };
    const own = traces.filter(({ xaxis = "x" }) => xaxis === pair);
    return plot(own, { x, y }, place, settings.barmode);
  });
  const title = readText(settings.title?.text ?? "");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="Helvetica,Arial,sans-serif" font-size="11" fill="#222">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${width / 2}" y="22" text-anchor="middle" font-size="15">${escapeHtml(title)}</text>`,
    ...plots,
    below.height ? legend(names, height - below.height + 6).svg : "",
    "</svg>",
  ].join("");
}
