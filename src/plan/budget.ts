import { own } from "../own.js";

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
  const factor = own(sizes, unit.toLowerCase());
  const bytes = Math.floor(value * (factor ?? 0));
  if (bytes > 0 && Number.isSafeInteger(bytes)) return { bytes };
  throw new Error(`budget is not a size: ${text} (use 4GiB, 500MB or 60%)`);
}

/** Bytes that a budget allows: a size as it is, a share of the baseline's peak. Throws `budget is not a size: …`. */
export function budgetBytesOf(budget: string, baselineBytes: number): number {
  const parsed = parseBudget(budget);
  return "bytes" in parsed ? parsed.bytes : Math.floor(parsed.share * baselineBytes);
}

/** What is said where a planner that plans for a budget is given none. */
export const missingBudget = (planner: string): Error =>
  new Error(`planner needs a budget: ${planner} (pass --budget 4GiB)`);

/** The most time that a plan may add, as a share of the step: `10%`. Throws `slowdown is not a share: …`. */
export function parseSlowdown(text: string): number {
  const [, number] = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(text) ?? [];
  const share = Number(number) / 100;
  if (share >= 0 && Number.isFinite(share)) return share;
  throw new Error(`slowdown is not a share: ${text} (use 10%)`);
}

/** Bytes of host memory for swapped activations: `16GiB`. Throws `host memory is not a size: …`. */
export function parseHostMemory(text: string): number {
  try {
    const parsed = parseBudget(text);
    if ("bytes" in parsed) return parsed.bytes;
  } catch {
    // said below
  }
  throw new Error(`host memory is not a size: ${text} (use 16GiB or 500MB)`);
}

/** A size to fit a batch into, with the dimension that is the batch if it is named: `24GiB`, `batch=24GiB`. Throws `memory to fit is not a size: …`. */
export function parseFit(text: string): { readonly bytes: number; readonly dim?: string } {
  const [, dim, size = ""] = /^(?:(.*)=)?([^=]*)$/s.exec(text) ?? [];
  try {
    const parsed = parseBudget(size);
    if ("bytes" in parsed) return { bytes: parsed.bytes, ...(dim ? { dim } : {}) };
  } catch {
    // said below
  }
  throw new Error(`memory to fit is not a size: ${text} (use 24GiB or batch=24GiB)`);
}
