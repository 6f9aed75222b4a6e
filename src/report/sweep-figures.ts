import { bestPoints, costsOf, type PointCosts } from "../sweep/best.js";
import { sayPoint, settingOf, settingTitle, variedNames } from "../sweep/manifest.js";
import type { SweepState } from "../sweep/state.js";
import { bytesAxis, type Figure, figure, label, mib } from "./figure.js";

/** Okabe and Ito's palette, for the values of a setting in their order. */
const colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F6FB5", "#999999"] as const;

/** More points than this are no longer told apart, and make a page slow. */
const mostPoints = 4000;

/** What points have by a name, for a legend and an axis. */
type Value = string | number;

const chartValue = ({ state }: PointCosts, name: string): Value => settingOf(state.point, name) ?? "none";

/** Different values, numbers in their order, texts as a person would order them. */
const valuesOf = (costs: readonly PointCosts[], name: string): Value[] =>
  [...new Set(costs.map((one) => chartValue(one, name)))].sort((a, z) =>
    typeof a === "number" && typeof z === "number"
      ? a - z
      : String(a).localeCompare(String(z), "en", { numeric: true }),
  );

/** Names of what points differ in, by what a chart does with them: dimensions first, then what has few values. */
function chartNames(sweep: SweepState, costs: readonly PointCosts[]): string[] {
  const countOf = new Map(variedNames(sweep.manifest.points).map((name) => [name, valuesOf(costs, name).length]));
  return [...countOf.keys()]
    .filter((name) => (countOf.get(name) as number) > 1)
    .sort((a, z) => Number(z.startsWith("dims.")) - Number(a.startsWith("dims.")));
}

/** Parts of points by the values of a setting with as many as there are colours; one part where there is no such setting. */
function parted(costs: readonly PointCosts[], names: readonly string[]) {
  const name = names.find((one) => valuesOf(costs, one).length <= colors.length);
  if (name === undefined) return [{ name: "points", color: colors[0], costs }];
  return valuesOf(costs, name).map((value, i) => ({
    name: `${settingTitle(name)} ${value}`,
    color: colors[i % colors.length] as string,
    costs: costs.filter((one) => chartValue(one, name) === value),
  }));
}

const known = (sweep: SweepState): PointCosts[] => sweep.points.flatMap((state) => costsOf(state) ?? []);

/** Whether times are by the sample: where all points have a batch. */
const isBySample = (costs: readonly PointCosts[]): boolean => costs.every(({ sampleMs }) => sampleMs !== null);

/**
 * Time of a step against its peak, a mark a point, coloured by what they differ in: the batch if it is that; by the sample
 * where all have a batch. A line joins the best. Null where nothing is known yet.
 */
export function sweepFront(sweep: SweepState): Figure | null {
  const costs = known(sweep);
  if (costs.length === 0) return null;
  const names = variedNames(sweep.manifest.points);
  const bySample = isBySample(costs);
  const timeOf = ({ stepMs, sampleMs }: PointCosts): number => (bySample ? (sampleMs as number) : stepMs);
  const every = Math.ceil(costs.length / mostPoints);
  const shown = costs.filter((_, i) => i % every === 0);
  const marks = (of: readonly PointCosts[]) => ({
    type: "scatter",
    x: of.map(({ peakBytes }) => mib(peakBytes)),
    y: of.map(timeOf),
    text: of.map(({ state }) => sayPoint(state.point, names)),
    hovertemplate: "%{text}<br>%{x:.4g} MiB<br>%{y:.4g} ms<extra></extra>",
  });
  const best = bestPoints(sweep.points);
  const models = [...new Set(best.map(({ state }) => state.point.model))];
  return figure(
    `Time against memory${every > 1 ? ` (every ${every}th of ${costs.length} points)` : ""}`,
    { title: { text: "peak, MiB" }, rangemode: "tozero" },
    { title: { text: bySample ? "ms a sample" : "ms a step" }, rangemode: "tozero" },
    [
      ...parted(shown, chartNames(sweep, costs)).map(({ name, color, costs: own }) => ({
        ...marks(own),
        mode: "markers",
        name,
        marker: { color, size: 7, opacity: 0.8 },
      })),
      ...models.map((model) => ({
        ...marks(best.filter(({ state }) => state.point.model === model)),
        mode: "lines",
        name: models.length > 1 ? `the best of ${model}` : "the best",
        line: { color: "#666", width: 1, shape: "hv" },
      })),
    ],
    { showlegend: true },
  );
}

/** The least of a cost over one setting, a line for each value of another. Null where points differ in nothing. */
function overSetting(
  sweep: SweepState,
  title: string,
  y: object,
  unit: string,
  of: (one: PointCosts) => number,
): Figure | null {
  const costs = known(sweep);
  const [axis, ...others] = chartNames(sweep, costs);
  if (axis === undefined) return null;
  const values = valuesOf(costs, axis);
  const isNumber = values.every((value) => typeof value === "number");
  const parts = parted(costs, others);
  const rest = others.length > 1 || (others.length === 1 && parts.length === 1);
  return figure(
    `${title} over ${settingTitle(axis)}${rest ? ", the least whatever else" : ""}`,
    { title: { text: settingTitle(axis) }, ...(isNumber ? {} : { type: "category" }) },
    y,
    parts.map(({ name, color, costs: own }) => {
      const least = values.map((value) => {
        const found = own.filter((one) => chartValue(one, axis) === value).map(of);
        return found.length ? found.reduce((a, z) => Math.min(a, z)) : null;
      });
      return {
        type: "scatter",
        mode: "lines+markers",
        name: parts.length > 1 ? name : title,
        x: values,
        y: least,
        line: { color, width: 2 },
        marker: { color, size: 6 },
        hovertemplate: `%{x}, ${label(name).replace(/%/g, "%%")}: %{y:.4g} ${unit}<extra></extra>`,
      };
    }),
    { showlegend: parts.length > 1 },
  );
}

/** Peak memory over what points differ in: over the batch, if it is that. Null where they differ in nothing. */
export const sweepPeak = (sweep: SweepState): Figure | null =>
  overSetting(sweep, "Peak memory", bytesAxis, "MiB", ({ peakBytes }) => mib(peakBytes));

/** Time of a step over what points differ in: over the batch, if it is that. Null where they differ in nothing. */
export const sweepTime = (sweep: SweepState): Figure | null =>
  overSetting(sweep, "Time of a step", { title: { text: "ms" }, rangemode: "tozero" }, "ms", ({ stepMs }) => stepMs);
