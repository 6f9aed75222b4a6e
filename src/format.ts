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

/** Milliseconds as µs, ms or s: `12.3 ms`. */
export function formatMs(ms: number): string {
  if (Math.abs(ms) >= 1000) return `${digits(ms / 1000)} s`;
  return Math.abs(ms) >= 1 || ms === 0 ? `${digits(ms)} ms` : `${digits(ms * 1000)} µs`;
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
