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

/** Bytes of each unit that a budget may have. */
const sizes: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * A memory budget: a size (`4GiB`, `500MB`) or a share of the unplanned peak (`60%`). Throws
 * `budget is not a size: …` for anything else, zero and shares above 100 % among it.
 */
export function parseBudget(text: string): { readonly bytes: number } | { readonly share: number } {
  const [, number = "", unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+|%)\s*$/i.exec(text) ?? [];
  const value = Number(number);
  if (value > 0 && unit === "%" && value <= 100) return { share: value / 100 };
  const factor = sizes[unit.toLowerCase()];
  const bytes = Math.floor(value * (factor ?? 0));
  if (bytes > 0 && Number.isSafeInteger(bytes)) return { bytes };
  throw new Error(`budget is not a size: ${text} (use 4GiB, 500MB or 60%)`);
}
