import { inspect, types } from "node:util";
import type { Plan } from "../plan/plan.js";
import type { Frame } from "../report/danfo.js";
import type { Run } from "../run/run.js";
import { planBundle, runBundle } from "./card.js";
import type { Bundle } from "./cell.js";
import { type AnyFigure, figureBundle } from "./figure.js";
import { frameBundle } from "./table.js";

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null;

/** One kind of value that is more than text: how it is known, and what front ends get of it. */
interface Kind {
  readonly is: (value: Fields) => boolean;
  readonly bundle: (value: never) => Bundle;
}

/** By what values hold, not by their class: kernel and notebook may have their own copies of danfo and mutwo. */
const kinds: readonly Kind[] = [
  // before tables: a Series has columns too
  {
    is: ({ $isSeries, values }) => $isSeries === true && Array.isArray(values),
    bundle: ({ values, columns, index }: Frame & { readonly values: readonly unknown[] }) =>
      frameBundle({ columns: columns.slice(0, 1), values: values.map((value) => [value]), index }),
  },
  {
    is: ({ columns, values, shape, index }) =>
      Array.isArray(columns) &&
      Array.isArray(values) &&
      Array.isArray(index) &&
      Array.isArray(shape) &&
      shape.length === 2,
    bundle: (frame: Frame) => frameBundle(frame),
  },
  {
    is: ({ data, layout }) => Array.isArray(data) && data.every(isObject) && isObject(layout),
    bundle: (figure: AnyFigure) => figureBundle(figure),
  },
  { is: ({ format, before }) => format === "mutwo-run" && isObject(before), bundle: (run: Run) => runBundle(run) },
  {
    is: ({ planner, decisions, peakBytes }) =>
      typeof planner === "string" && Array.isArray(decisions) && typeof peakBytes === "number",
    bundle: (plan: Plan) => planBundle(plan),
  },
];

/** What values have that stand below their cell already; kernel and notebook may have their own copies of mutwo. */
export const shownMark: unique symbol = Symbol.for("mutwo.shown");

/** Whether a value stands below its cell already, and is not shown as the cell's last expression. */
export const isShown = (value: unknown): boolean => isObject(value) && !types.isProxy(value) && shownMark in value;

/**
 * What a notebook shows of a value: tables, charts, cards of runs and plans as HTML, each with its text; anything else as
 * text.
 */
export function bundle(value: unknown): Bundle {
  const kind = isObject(value) && !types.isProxy(value) ? kinds.find(({ is }) => is(value)) : undefined;
  if (kind) return kind.bundle(value as never);
  const hint = types.isPromise(value) && inspect(value).includes("<pending>") ? " (write await before it)" : "";
  return { "text/plain": inspect(value) + hint };
}
