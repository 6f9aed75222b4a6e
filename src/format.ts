const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Three significant digits, without an exponent. */
const digits = (value: number): string => {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || value === 0 ? 0 : size >= 10 ? 1 : 2);
};

/** Bytes with a binary prefix: `3.10 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(value) : digits(value)} ${units[unit]}`;
}

/** Bytes beside others, to the byte where both would read alike: `364 KiB (372,736 B)`. */
export const formatBytesBeside = (bytes: number, other: number): string =>
  bytes !== other && formatBytes(bytes) === formatBytes(other)
    ? `${formatBytes(bytes)} (${formatCount(bytes)} B)`
    : formatBytes(bytes);

/** Milliseconds as µs, ms or s: `12.3 ms`. */
export function formatMs(ms: number): string {
  if (Math.abs(ms) >= 1000) return `${digits(ms / 1000)} s`;
  return Math.abs(ms) >= 1 || ms === 0 ? `${digits(ms)} ms` : `${digits(ms * 1000)} µs`;
}

/** A long time as s, min, h or days: `1.25 h`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  const [divisor, unit] =
    seconds < 120 ? [1, "s"] : seconds < 7200 ? [60, "min"] : seconds < 172_800 ? [3600, "h"] : [86_400, "days"];
  return `${digits(seconds / (divisor as number))} ${unit}`;
}

/** A share as percent: `37.5 %`. */
export const formatPercent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** A count with thousands separated. */
export const formatCount = (count: number): string => Math.round(count).toLocaleString("en");

/** The first three of some names, and a mark if there are more: `a, b, c, …`. */
export const few = (names: readonly string[]): string =>
  `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}`;

/** A command line that a POSIX shell takes apart into the same words: what is not plain stands in single quotes. */
export const formatCommand = (words: readonly string[]): string =>
  words.map((word) => (/^[\w./:=%,@+-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`)).join(" ");

/** The names that are most like a word: those that contain it, then those with the fewest letters to change. */
export function nearest(word: string, names: readonly string[], count: number): string[] {
  const wanted = word.toLowerCase();
  const far = (name: string): number =>
    wanted !== "" && name.includes(wanted) ? (name.length - wanted.length) / 1e6 : 1 + lettersToChange(wanted, name);
  return [...new Set(names)]
    .map((name): [string, number] => [name, far(name.toLowerCase())])
    .sort(([, a], [, z]) => a - z)
    .slice(0, count)
    .map(([name]) => name);
}

/** Letters to insert, remove or replace to make one word of another (Levenshtein 1966). */
function lettersToChange(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let k = 1; k <= to.length; k++) {
      const replaced = (row[k - 1] as number) + (from[i - 1] === to[k - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[k] as number) + 1, (next[k - 1] as number) + 1));
    }
    row = next;
  }
  return row[to.length] as number;
}
