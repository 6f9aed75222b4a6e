import path from "node:path";
import { formatBytes, formatCount, formatMs } from "../format.js";
import { commandOf } from "../run/option-forms.js";
import { bestPoints, costsOf, modelsOf } from "../sweep/best.js";
import { modelFile, sayPoint, variedNames } from "../sweep/manifest.js";
import { countsOf, type SweepState } from "../sweep/state.js";
import { writeWhole } from "../writing.js";
import { pageHtml } from "./page.js";
import { sweepFront, sweepPeak, sweepTime } from "./sweep-figures.js";
import { failuresOf, sayCounts, sayFailure, sweepColumns, sweepCsv } from "./sweep-table.js";
import { pageTableOf } from "./tables.js";

/** So many reasons of failures, and best points with their commands, stand on the page; sweep.csv has all. */
const most = { failures: 50, best: 100 };

/** From where to where numbers go, in words. */
function range(values: readonly number[], say: (value: number) => string): string {
  if (values.length === 0) return "known of none";
  const [least, greatest] = values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
  return least === greatest ? say(least) : `${say(least)} to ${say(greatest)}`;
}

/** A sweep as one HTML page: time against memory, peak and step by what points differ in, the best, what failed, all points. */
export function sweepHtml(sweep: SweepState): string {
  const { manifest, points } = sweep;
  const names = variedNames(manifest.points);
  const models = modelsOf(points).map((model) => path.basename(model));
  const costs = points.flatMap((state) => costsOf(state) ?? []);
  const best = bestPoints(points);
  const failures = failuresOf(sweep);
  const counts = countsOf(sweep);
  const backends = [...new Set(points.flatMap(({ result }) => result?.backend ?? []))];
  const view = {
    said: sayCounts(sweep),
    models: models.join(", "),
    backends: backends.join(", ") || "no backend yet",
    untimed: backends.some((one) => one === "replay" || one === "estimate"),
    left: counts.left > 0,
    failures: failures.slice(0, most.failures).map(sayFailure),
    moreFailures: failures.length > most.failures ? formatCount(failures.length - most.failures) : "",
    unfit: counts.unfit > 0 ? formatCount(counts.unfit) : "",
    best: best.slice(0, most.best).map(({ state: { point, result }, peakBytes, stepMs, sampleMs }) => ({
      what: sayPoint(point, names),
      peak: formatBytes(peakBytes),
      step: formatMs(stepMs),
      sample: sampleMs === null ? "–" : formatMs(sampleMs),
      run: result?.run,
      command: commandOf("profile", modelFile(manifest, point), point.options),
    })),
    moreBest: best.length > most.best ? formatCount(best.length - most.best) : "",
  };
  const peaks = `Peak with the plan, where there is one: ${range(
    costs.map(({ peakBytes }) => peakBytes),
    formatBytes,
  )}`;
  const times = `a step: ${range(
    costs.map(({ stepMs }) => stepMs),
    formatMs,
  )}`;
  return pageHtml({
    heading: `Sweep of ${models.length > 3 ? `${models.length} models` : models.join(", ")}`,
    sub: `mutwo sweep · ${sayCounts(sweep)}`,
    sections: [
      { name: "sweep-summary", title: "Summary", view },
      { name: "sweep-best", title: "Best points", view },
      { name: "sweep-points", title: "Points", view },
    ],
    figures: { sweepFront: sweepFront(sweep), sweepPeak: sweepPeak(sweep), sweepTime: sweepTime(sweep) },
    captions: {
      sweepFront: `${peaks}; ${times}. The line joins the best: no other point needs as little memory and is as fast.`,
      sweepPeak: `${peaks}.`,
      sweepTime: `Time of ${times}; planned ones that were not executed are predicted.`,
    },
    tables: { points: pageTableOf(sweepColumns(sweep), points) },
  });
}

/** Writes sweep.csv and sweep.html of what is known into a sweep's folder; returns where. Throws `cannot write …`. */
export function writeSweep(sweep: SweepState): { readonly csv: string; readonly report: string } {
  const { folder } = sweep.manifest;
  const [csv, report] = [path.join(folder, "sweep.csv"), path.join(folder, "sweep.html")];
  writeWhole(csv, sweepCsv(sweep));
  writeWhole(report, sweepHtml(sweep));
  return { csv, report };
}
