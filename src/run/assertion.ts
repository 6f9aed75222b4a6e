import { formatBytes, formatCount, formatMs, nearest } from "../format.js";
import { own } from "../own.js";
import { parseBudget } from "../plan/budget.js";
import { type Figure, figures } from "./figures.js";
import type { Run } from "./run.js";

/** What must hold of a run's figure: against a value, or against the same figure of the base times a factor. */
export interface Assertion {
  readonly text: string;
  readonly figure: Figure;
  readonly operator: keyof typeof operators;
  readonly right: { readonly value: number } | { readonly factor: number };
}

/** Whether an assertion holds of a run, and in words what was compared. */
export interface Verdict {
  readonly holds: boolean;
  readonly line: string;
}

const operators = {
  "<=": (a: number, b: number): boolean => a <= b,
  ">=": (a: number, b: number): boolean => a >= b,
  "==": (a: number, b: number): boolean => a === b,
  "<": (a: number, b: number): boolean => a < b,
  ">": (a: number, b: number): boolean => a > b,
};

const msPerUnit: Readonly<Record<string, number>> = { us: 1e-3, µs: 1e-3, ms: 1, s: 1e3 };

/** A figure's value in words. */
export const sayFigure = ({ unit }: Figure, value: number): string =>
  ({ ms: formatMs, bytes: formatBytes, count: formatCount })[unit](value);

/**
 * Reads `peakBytes < 4GiB`, `stepMs <= 12.5ms`, `nodes == 400`, `stepMs < 1.05 * base`. Throws `assertion …` with how to
 * write it, and the nearest figure for an unknown one.
 */
export function parseAssertion(text: string): Assertion {
  const [, name = "", operator = "", right = ""] = /^\s*(\w+)\s*(<=|>=|==|<|>)\s*(\S.*?)\s*$/.exec(text) ?? [];
  if (!name) throw new Error(`assertion cannot be read: ${text} (use 'peakBytes < 4GiB' or 'stepMs < 1.05 * base')`);
  const figure = figures.find((one) => one.name === name);
  if (!figure) {
    const names = figures.map((one) => one.name);
    throw new Error(`assertion of an unknown figure: ${name} (nearest: ${nearest(name, names, 3).join(", ")})`);
  }
  const [, factor, isBase] = /^(?:(\d+(?:\.\d+)?)\s*\*\s*)?(base)$/.exec(right) ?? [];
  const known = { text, figure, operator: operator as Assertion["operator"] };
  if (isBase) return { ...known, right: { factor: Number(factor ?? 1) } };
  const value = amountOf(figure, right);
  if (value === undefined)
    throw new Error(`assertion without a value: ${text} (use ${examples[figure.unit]}, base or 1.05 * base)`);
  return { ...known, right: { value } };
}

const examples: Readonly<Record<Figure["unit"], string>> = { ms: "12.5ms", bytes: "4GiB", count: "400" };

/** A value in the figure's unit, with or without the unit's name. */
function amountOf({ unit }: Figure, text: string): number | undefined {
  const [, number, name = ""] = /^(\d+(?:\.\d+)?)\s*([a-zµ]*)$/i.exec(text) ?? [];
  if (number === undefined) return undefined;
  const value = Number(number);
  if (name === "") return value;
  if (unit === "ms") {
    const factor = own(msPerUnit, name);
    return factor === undefined ? undefined : value * factor;
  }
  if (unit === "count") return undefined;
  try {
    const parsed = parseBudget(text);
    return "bytes" in parsed ? parsed.bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Whether what was asserted holds of a run beside a base. A figure that either does not have fails. */
export function judgeAssertion({ text, figure, operator, right }: Assertion, run: Run, base: Run): Verdict {
  const left = figure.of(run);
  const reference = "value" in right ? right.value : figure.of(base);
  const who = `${text}: ${run.id}`;
  if (left === null) return { holds: false, line: `${who} has no ${figure.name}` };
  if (reference === null) return { holds: false, line: `${text}: the base ${base.id} has no ${figure.name}` };
  const limit = "value" in right ? right.value : right.factor * reference;
  const ratio = "value" in right ? "" : `, ${(left / reference).toFixed(3)} times the base`;
  return {
    holds: operators[operator](left, limit),
    line: `${who} has ${sayFigure(figure, left)}${ratio}`,
  };
}
