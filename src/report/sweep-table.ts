import { formatBytes, formatCount, formatMs } from "../format.js";
import { own } from "../own.js";
import { sayFigure } from "../run/assertion.js";
import { figures } from "../run/figures.js";
import { commandOf } from "../run/option-forms.js";
import { bestPoints } from "../sweep/best.js";
import { modelFile, sayPoint, settingNames, settingOf, settingTitle, variedNames } from "../sweep/manifest.js";
import { countsOf, type PointState, type Standing, type SweepState, standingOf } from "../sweep/state.js";
import type { Column } from "./column.js";
import { csvText } from "./csv.js";
import { danfo } from "./danfo.js";
import type { DataFrame } from "./data-frame.js";
import type { TextTable } from "./text-tables.js";

/** A column of a sweep's points. */
export interface SweepColumn extends Omit<Column<PointState>, "value"> {
  readonly value: (state: PointState) => string | number | boolean | null;
}

/** The figures of a sweep that a table of words shows: without the plan and with it. */
const shown = ["peakBytes", "plannedPeakBytes", "stepMs", "predictedStepMs", "plannedStepMs"].map((name) =>
  figures.find((figure) => figure.name === name),
) as (typeof figures)[number][];

/** What became of points, in words. */
const standingWords: Readonly<Record<Standing, string>> = {
  done: "done",
  unfit: "does not fit",
  failed: "failed",
  damaged: "damaged",
  left: "left",
};

/** Why a point has no figures, in words; what its last attempt failed of, where it is to be tried again. */
export const reasonOf = ({ result, damage, faults }: PointState): string =>
  damage ?? result?.error ?? (result ? "" : (faults.at(-1)?.error ?? ""));

/** What became of a point, and why. */
const noteOf = (state: PointState): string => {
  const standing = standingOf(state);
  const reason = reasonOf(state);
  return [standing === "done" ? "" : standingWords[standing], reason].filter(Boolean).join(": ");
};

/** What not all points have alike, else what they are. */
const namesOf = ({ manifest }: SweepState): readonly string[] => {
  const varied = variedNames(manifest.points);
  return varied.length ? varied : ["model"];
};

/** Points as a table of words: what they differ in, peak and step without the plan and with it, what became of them. */
export function sweepText(sweep: SweepState, states = sweep.points, title = sayCounts(sweep)): TextTable {
  const names = namesOf(sweep);
  return {
    title,
    head: [...names.map(settingTitle), ...shown.map(({ what }) => what), ""],
    rows: states.map((state) => [
      ...names.map((name) => String(settingOf(state.point, name) ?? "–")),
      ...shown.map((figure) => {
        const value = own(state.result?.figures ?? {}, figure.name) ?? null;
        return value === null ? "–" : sayFigure(figure, value);
      }),
      noteOf(state),
    ]),
  };
}

/** How many points there are, and what became of them: `24 points: 20 done, 1 failed, 3 left`. */
export function sayCounts(sweep: SweepState): string {
  const counts = countsOf(sweep);
  const parts = (Object.keys(standingWords) as Standing[]).flatMap((standing) =>
    counts[standing]
      ? [`${formatCount(counts[standing])} ${standing === "unfit" ? "do not fit" : standingWords[standing]}`]
      : [],
  );
  return `${formatCount(sweep.points.length)} points: ${parts.join(", ") || "none"}`;
}

/** Points that something is wrong with for one reason. */
export interface Failure {
  readonly standing: Standing;
  readonly reason: string;
  readonly count: number;
  /** The first of them, in words, and its index. */
  readonly first: string;
  readonly index: number;
}

/** Why points failed, are damaged, or are to be tried again: a reason each, the commonest first. */
export function failuresOf(sweep: SweepState): Failure[] {
  const names = namesOf(sweep);
  const failures = new Map<string, Failure>();
  for (const state of sweep.points) {
    const reason = reasonOf(state);
    if (!reason) continue;
    const standing = standingOf(state);
    const key = `${standing} ${reason}`;
    const { point } = state;
    const known = failures.get(key) ?? {
      standing,
      reason,
      count: 0,
      first: sayPoint(point, names),
      index: point.index,
    };
    failures.set(key, { ...known, count: known.count + 1 });
  }
  return [...failures.values()].sort((a, z) => z.count - a.count);
}

/** Such points in a line: `3 points failed: out of memory (first: point 7, batch 64)`. */
export const sayFailure = ({ standing, reason, count, first, index }: Failure): string =>
  `${formatCount(count)} point${count === 1 ? "" : "s"} ${
    standing === "left" ? `to be tried again (a first attempt failed)` : standingWords[standing]
  }: ${reason} (${count === 1 ? "" : "first: "}point ${index}, ${first})`;

/** The best points as a table of words: what they differ in, memory and time. */
export function bestText(sweep: SweepState, most: number): TextTable {
  const names = namesOf(sweep);
  const best = bestPoints(sweep.points);
  const rows = spread(best, most);
  return {
    title: `the best: none of the others needs as little memory and is as fast${
      rows.length < best.length ? ` (${rows.length} of ${formatCount(best.length)})` : ""
    }`,
    head: [...names.map(settingTitle), "peak", "step", "a sample"],
    rows: rows.map(({ state, peakBytes, stepMs, sampleMs }) => [
      ...names.map((name) => String(settingOf(state.point, name) ?? "–")),
      ...[formatBytes(peakBytes), formatMs(stepMs), sampleMs === null ? "–" : formatMs(sampleMs)],
    ]),
  };
}

/** So many of a list, its ends among them, equally far from each other. */
function spread<T>(all: readonly T[], most: number): T[] {
  if (all.length <= most) return [...all];
  return Array.from({ length: most }, (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))] as T);
}

/** The columns of a sweep's points: what they are, what became of them, all figures. */
export function sweepColumns({ manifest }: SweepState): SweepColumn[] {
  const used = settingNames(manifest.points);
  const isNumber = (name: string): boolean =>
    manifest.points.every((point) => typeof (settingOf(point, name) ?? 0) === "number");
  const time = { name: "attempt_ms", title: "took", kind: "ms" } as const;
  return [
    { name: "point", title: "point", kind: "count", value: ({ point }) => point.index },
    ...used.map((name): SweepColumn => {
      const kind = isNumber(name) ? "number" : "text";
      const isDim = name.startsWith("dims.");
      return {
        name: isDim ? `dim_${settingTitle(name)}` : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        title: settingTitle(name),
        kind: isDim ? "count" : kind,
        value: ({ point }) => settingOf(point, name) ?? (kind === "text" ? "" : null),
      };
    }),
    { name: "result", title: "result", kind: "text", value: (state) => standingWords[standingOf(state)] },
    ...figures.map(
      ({ name, what, unit }): SweepColumn => ({
        name,
        title: what,
        kind: unit,
        value: ({ result }) => own(result?.figures ?? {}, name) ?? null,
      }),
    ),
    { name: "measured_on", title: "measured on", kind: "text", value: ({ result }) => result?.backend ?? "" },
    { name: "reason", title: "reason", kind: "text", value: reasonOf },
    {
      name: "attempts",
      title: "attempts",
      kind: "count",
      value: ({ result, faults }) => result?.attempts ?? faults.length,
    },
    { ...time, value: ({ result }) => result?.tookMs ?? null },
    { name: "host", title: "done on", kind: "text", value: ({ result }) => result?.host ?? "" },
  ];
}

/** All that is known of all points, a row each, with the command that profiles the same. */
export function sweepCsv(sweep: SweepState): string {
  const { manifest, points } = sweep;
  const columns: readonly SweepColumn[] = [
    ...sweepColumns(sweep),
    { name: "run", title: "run", kind: "text", value: ({ result }) => result?.run ?? "" },
    {
      name: "command",
      title: "command",
      kind: "text",
      value: ({ point }) => commandOf("profile", modelFile(manifest, point), point.options),
    },
    { name: "id", title: "id", kind: "text", value: ({ point }) => point.id },
  ];
  return csvText({
    fields: columns.map(({ name }) => name),
    columns: columns.map(({ value }) => ({
      length: points.length,
      slice: (start: number, end: number) => points.slice(start, end).map(value),
    })),
  });
}

/**
 * The points of a sweep as a danfo DataFrame, a row each: what they are, what became of them (`result`), figures of memory in
 * bytes and of time in ms. What is not known yet is missing (NaN).
 */
export function sweepTable(sweep: SweepState): DataFrame {
  const { DataFrame: Frame } = danfo();
  const columns = sweepColumns(sweep);
  if (sweep.points.length === 0) return new Frame([], { columns: columns.map(({ name }) => name) });
  const cells = columns.map(({ value }) => sweep.points.map((state) => value(state) ?? Number.NaN));
  return new Frame(Object.fromEntries(columns.map(({ name }, i) => [name, cells[i]])), {
    dtypes: columns.map(({ kind }) => (kind === "text" ? "string" : "float32")),
  });
}
