import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import os from "node:os";
import { samplesOf } from "../../src/run/samples.js";
import { at } from "../at.js";

/** A figure that was measured several times: its median, half the distance between its quartiles, how often. */
export interface Figure {
  readonly median: number;
  readonly spread: number;
  readonly of: number;
}

/** Takes a figure as soon as it is measured; its name ends in its unit. */
export type Tell = (name: string, figure: Figure) => void;

/** What was measured at one commit: a line of history.jsonl. */
export interface Line {
  /** Abbreviated; with a `+` where files differed from the commit. */
  readonly commit: string;
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** Processes that wanted to run, over the minute before the first measurement: noise where it is near `cores`. */
  readonly load: number;
  /** By name; a name ends in its unit. */
  readonly figures: Readonly<Record<string, Figure>>;
}

/** Six significant digits: more was not measured. */
const rounded = (value: number): number => Number(value.toPrecision(6));

/** Median and spread of some values. */
export function figureOf(values: readonly number[]): Figure {
  const { medianMs, spreadMs } = samplesOf(values);
  return { median: rounded(medianMs), spread: rounded(spreadMs), of: values.length };
}

const file = at("bench/history.jsonl");

const git = (...args: string[]): string => execFileSync("git", args, { cwd: at(".."), encoding: "utf8" }).trim();

/** Where, when and of what a measurement is made: a line without figures. */
export function here(): Omit<Line, "figures"> {
  const changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!test/bench/history.jsonl");
  return {
    commit: git("rev-parse", "--short", "HEAD") + (changed ? "+" : ""),
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.cpus().length,
    node: process.version,
    load: rounded(os.loadavg()[0] ?? 0),
  };
}

/** Adds a line to history.jsonl. */
export const save = (line: Line): void => appendFileSync(file, `${JSON.stringify(line)}\n`);

/** The last line that was saved, or the last of a commit. Throws `nothing saved…`. */
export function saved(commit?: string): Line {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const lines = text.split("\n").flatMap((line) => (line ? [JSON.parse(line) as Line] : []));
  const found = lines.filter((line) => commit === undefined || sameCommit(line.commit, commit)).at(-1);
  if (!found)
    throw new Error(commit === undefined ? "nothing saved yet (--save)" : `nothing saved of commit ${commit}`);
  return found;
}

/** Whether one is an abbreviation of the other. */
function sameCommit(a: string, z: string): boolean {
  const [one, other] = [a.replace("+", ""), z.replace("+", "")];
  return one.startsWith(other) || other.startsWith(one);
}

const digits = (value: number): string => String(Number(value.toPrecision(3)));

/** A row's verdict: figures whose medians, give or take twice their spreads, overlap are not told apart. */
function verdict(then: Figure, now: Figure): string {
  if (Math.abs(now.median - then.median) <= 2 * (now.spread + then.spread)) return "within the spread";
  return now.median > then.median ? "MORE" : "less";
}

/** Two lines side by side as text: each figure with its spread, the ratio, and whether the difference is noise. */
export function comparison(then: Line, now: Line): string {
  const notes = (["cpu", "cores", "node"] as const)
    .filter((key) => then[key] !== now[key])
    .map((key) => `not the same machine: ${key} was ${then[key]}, is ${now[key]}`);
  const busy = (
    [
      ["then", then],
      ["now", now],
    ] as const
  )
    .filter(([, { load, cores }]) => load > cores / 2)
    .map(([when, { load, cores }]) => `the machine was busy ${when}: load ${digits(load)} of ${cores} cores`);
  const rows = Object.keys({ ...then.figures, ...now.figures }).map((name): string[] => {
    const [a, z] = [then.figures[name], now.figures[name]];
    const shown = (figure: Figure | undefined): string =>
      figure ? `${digits(figure.median)} ± ${digits(figure.spread)}` : "–";
    return a && z
      ? [name, shown(a), shown(z), (z.median / a.median).toFixed(2), verdict(a, z)]
      : [name, shown(a), shown(z), "–", ""];
  });
  const table = [["", then.commit, now.commit, "ratio", ""], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = table.map((row) =>
    row.map((cell, i) => (i === 0 || i === 4 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  "),
  );
  return [`${then.commit} of ${then.date.slice(0, 10)} beside ${now.commit}`, ...notes, ...busy, ...lines]
    .map((line) => line.trimEnd())
    .join("\n");
}
