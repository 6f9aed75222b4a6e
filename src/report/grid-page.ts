import { formatBytes, formatCount, formatMs } from "../format.js";
import { own } from "../own.js";
import { figures } from "../run/figures.js";
import { dimsOf, type GridPoint } from "../run/grid.js";
import { actionColors, type Figure, figure, label, mib } from "./figure.js";
import { pageHtml } from "./page.js";
import { type PageTable, pageTableOf } from "./tables.js";

/** The sizes of a point in words: `batch 8`; what an export with fixed sizes has is its only one. */
const sizesOf = ({ dims }: GridPoint): string =>
  Object.entries(dims)
    .map(([name, size]) => `${name} ${size}`)
    .join(", ") || "the file's sizes";

const budgetOf = ({ budget }: GridPoint): string => (budget === null ? "no plan" : `planned for ${budget}`);

/** Colours of budgets, from the largest on: those that colour-blind readers tell apart. */
const budgetColors = ["#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

interface Measure {
  readonly title: string;
  readonly unit: string;
  readonly of: (value: number) => number;
  /** The figure without the plan, and those with it: the first that a point has. */
  readonly unplanned: string;
  readonly planned: readonly string[];
}

const peak: Measure = {
  title: "Peak memory (arena)",
  unit: "MiB",
  of: mib,
  unplanned: "peakBytes",
  planned: ["plannedPeakBytes"],
};

const step: Measure = {
  title: "Time of a step (planned ones that were not executed: predicted)",
  unit: "ms",
  of: (value) => value,
  unplanned: "stepMs",
  planned: ["plannedStepMs", "predictedStepMs"],
};

/** Bars by sizes: without a plan, and for each budget with it. A plan that does not fit has no bar. */
function bars(points: readonly GridPoint[], { title, unit, of, unplanned, planned }: Measure): Figure {
  const measured = points.filter(({ error }) => error === undefined);
  const sizes = [...new Set(measured.map(sizesOf))];
  const budgets = [...new Set(measured.flatMap(({ budget }) => (budget === null ? [] : [budget])))];
  const first = new Map(sizes.map((size) => [size, measured.find((point) => sizesOf(point) === size)]));
  const amountOf = (point: GridPoint | undefined, name: string): number | null => {
    const value = (point && own(point.figures, name)) ?? null;
    return value === null ? null : of(value);
  };
  const plannedOf = (point: GridPoint): number | null =>
    planned.map((name) => amountOf(point, name)).find((value) => value !== null) ?? null;
  const bar = (name: string, color: string, values: readonly (number | null)[]) => ({
    type: "bar",
    name,
    x: sizes,
    y: values,
    marker: { color },
    hovertemplate: `%{x}, ${label(name).replace(/%/g, "%%")}: %{y:.4g} ${unit}<extra></extra>`,
  });
  return figure(
    title,
    { type: "category" },
    { title: { text: unit }, rangemode: "tozero" },
    [
      bar(
        "no plan",
        actionColors.keep,
        sizes.map((size) => amountOf(first.get(size), unplanned)),
      ),
      ...budgets.map((budget, i) =>
        bar(
          `planned for ${budget}`,
          budgetColors[i % budgetColors.length] as string,
          sizes.map((size) => {
            const point = measured.find((one) => sizesOf(one) === size && one.budget === budget);
            return point?.feasible ? plannedOf(point) : null;
          }),
        ),
      ),
    ],
    { barmode: "group" },
  );
}

/** From where to where a figure goes over the points. */
function range(points: readonly GridPoint[], name: string, say: (value: number) => string): string {
  const values = points.flatMap(({ figures: known }) => own(known, name) ?? []);
  if (values.length === 0) return "known nowhere";
  return `${say(Math.min(...values))} to ${say(Math.max(...values))}`;
}

/** All figures of all points, a row each. */
function pointsTable(points: readonly GridPoint[]): PageTable {
  const dims = dimsOf(points);
  return pageTableOf<GridPoint>(
    [
      ...dims.map((dim) => ({
        name: `dim_${dim}`,
        title: dim,
        kind: "count" as const,
        value: (point: GridPoint) => own(point.dims, dim) ?? null,
      })),
      { name: "budget", title: "budget", kind: "text", value: (point) => point.budget ?? "none" },
      { name: "result", title: "result", kind: "text", value: resultOf },
      ...figures.map(({ name, what, unit }) => ({
        name,
        title: what,
        kind: unit,
        value: (point: GridPoint) => own(point.figures, name) ?? null,
      })),
    ],
    points,
  );
}

/** What became of a point, in words. */
const resultOf = ({ error, feasible }: GridPoint): string => error ?? (feasible === false ? "does not fit" : "");

/** A sweep as one HTML page: peak and step by size, with and without plans, and all points with their commands. */
export function gridHtml(points: readonly GridPoint[]): string {
  const failed = points.filter(({ error }) => error !== undefined);
  const unfit = points.filter(({ feasible }) => feasible === false);
  const backends = [...new Set(points.flatMap(({ backend }) => backend ?? []))];
  const model = /^mutwo profile ('[^']*'|\S+)/.exec(points[0]?.command ?? "")?.[1] ?? "a model";
  const view = {
    count: formatCount(points.length),
    model,
    backends: backends.join(", ") || "no backend",
    untimed: backends.some((one) => one === "replay" || one === "estimate"),
    failed: failed.map((point) => ({ what: `${sizesOf(point)}, ${budgetOf(point)}`, error: point.error })),
    unfit: unfit.map((point) => ({
      what: `${sizesOf(point)}, ${budgetOf(point)}`,
      least: formatBytes(point.figures.leastPeakBytes ?? 0),
    })),
    runs: points.flatMap((point) =>
      point.run === null
        ? []
        : [{ what: `${sizesOf(point)}, ${budgetOf(point)}`, run: `${point.run}/report.html`, command: point.command }],
    ),
  };
  return pageHtml({
    heading: `Sweep of ${model}`,
    sub: `mutwo sweep · ${points.length} points`,
    sections: [
      { name: "sweep-summary", title: "Summary", view },
      { name: "sweep-points", title: "Points", view },
    ],
    figures: { sweepPeak: bars(points, peak), sweepStep: bars(points, step) },
    captions: {
      sweepPeak: `The peak without a plan: ${range(points, "peakBytes", formatBytes)}; with one that fits: ${range(
        points.filter(({ feasible }) => feasible),
        "plannedPeakBytes",
        formatBytes,
      )}.`,
      sweepStep: `A step without a plan: ${range(points, "stepMs", formatMs)}; with one that fits, predicted: ${range(
        points.filter(({ feasible }) => feasible),
        "predictedStepMs",
        formatMs,
      )}; executed: ${range(points, "plannedStepMs", formatMs)}.`,
    },
    tables: { points: pointsTable(points) },
  });
}
