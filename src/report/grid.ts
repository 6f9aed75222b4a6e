import { writeFileSync } from "node:fs";
import path from "node:path";
import { own } from "../own.js";
import { sayFigure } from "../run/assertion.js";
import { figures } from "../run/figures.js";
import type { GridPoint } from "../run/grid.js";
import { csvText } from "./csv.js";
import { gridHtml } from "./grid-page.js";
import type { TextTable } from "./text-tables.js";

/** The figures of a sweep that a table shows: without the plan and with it. */
const shown = ["peakBytes", "plannedPeakBytes", "stepMs", "predictedStepMs", "plannedStepMs"].map((name) =>
  figures.find((figure) => figure.name === name),
) as (typeof figures)[number][];

export const dimsOf = (points: readonly GridPoint[]): string[] => [
  ...new Set(points.flatMap(({ dims }) => Object.keys(dims))),
];

/** The points as a table of words: sizes, budget, peak and step without the plan and with it, or why there are none. */
export function gridTable(points: readonly GridPoint[]): TextTable {
  const dims = dimsOf(points);
  const failures = points.filter(({ error }) => error !== undefined).length;
  return {
    title: `${points.length} points${failures ? `, ${failures} failed` : ""}`,
    head: [...dims, "budget", ...shown.map(({ what }) => what), ""],
    rows: points.map((point) => [
      ...dims.map((dim) => String(own(point.dims, dim) ?? "")),
      point.budget ?? "none",
      ...shown.map((figure) => {
        const value = own(point.figures, figure.name) ?? null;
        return value === null ? "–" : sayFigure(figure, value);
      }),
      point.error ?? (point.feasible === false ? "does not fit" : ""),
    ]),
  };
}

/** All figures of all points, a row each, units in the names of the columns. */
export function gridCsv(points: readonly GridPoint[]): string {
  const dims = dimsOf(points);
  const fields = [
    ...dims.map((dim) => `dim_${dim}`),
    ...["budget", "feasible"],
    ...figures.map(({ name }) => name),
    ...["backend", "error", "run", "command", "id"],
  ];
  const data = points.map(({ id, command, budget, feasible, backend, run, error, ...point }) => [
    ...dims.map((dim) => own(point.dims, dim)),
    ...[budget, feasible],
    ...figures.map(({ name }) => own(point.figures, name)),
    ...[backend, error, run, command, id],
  ]);
  return csvText({ fields, columns: fields.map((_, column) => data.map((row) => row[column])) });
}

/** Writes sweep.csv and sweep.html into a sweep's folder; returns where. */
export function writeGrid(
  points: readonly GridPoint[],
  folder: string,
): { readonly csv: string; readonly report: string } {
  const [csv, report] = [path.join(folder, "sweep.csv"), path.join(folder, "sweep.html")];
  writeFileSync(csv, gridCsv(points));
  writeFileSync(report, gridHtml(points));
  return { csv, report };
}
