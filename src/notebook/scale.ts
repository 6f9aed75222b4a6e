/** A value on an axis. */
export type Value = number | string;

/** What of Plotly's axes is drawn. */
export interface Axis {
  readonly title?: { readonly text?: string };
  readonly rangemode?: string;
  readonly type?: string;
  readonly tickvals?: readonly number[];
  readonly ticktext?: readonly string[];
  /** Part of the picture that the axis takes, as shares. */
  readonly domain?: readonly [number, number];
}

/** Where values stand along an axis, in the picture's units. */
export interface Scale {
  at(value: Value): number;
  /** How far a step of 1 (or from one word to the next) is. */
  readonly unit: number;
  readonly ticks: readonly (readonly [at: number, text: string])[];
}

/** About five round numbers between two. */
function roundTicks(least: number, largest: number): number[] {
  const rough = (largest - least) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) as number) * power;
  const first = Math.ceil(least / step - 1e-9);
  return Array.from(
    { length: Math.max(0, Math.floor(largest / step + 1e-9) - first + 1) },
    (_, i) => (first + i) * step,
  );
}

/** A scale for words, in the order in which they come. */
function wordScale(words: readonly string[], from: number, to: number): Scale {
  const unit = (to - from) / words.length;
  const at = (value: Value): number => from + unit * (words.indexOf(String(value)) + 0.5);
  return { at, unit: Math.abs(unit), ticks: words.map((word) => [at(word), word]) };
}

/** A scale for what stands on an axis, from one place to another; `room` is kept beside the outer values. */
export function scaleOf(values: readonly Value[], axis: Axis, from: number, to: number, room: number): Scale {
  const words = [...new Set(values.filter((value) => typeof value === "string"))];
  if (words.length) return wordScale(words, from, to);
  const numbers = values.filter((value): value is number => Number.isFinite(value));
  const isLog = axis.type === "log" && numbers.every((value) => value > 0);
  const scaled = (value: number): number => (isLog ? Math.log10(value) : value);
  const starts = axis.rangemode === "tozero" && !isLog ? [0] : [];
  const low =
    numbers.reduce((least, value) => Math.min(least, scaled(value)), starts[0] ?? Number.POSITIVE_INFINITY) - room;
  const high =
    numbers.reduce((most, value) => Math.max(most, scaled(value)), starts[0] ?? Number.NEGATIVE_INFINITY) + room;
  const unit = (to - from) / (high - low || 1);
  const on = (value: number): number => from + (value - low) * unit;
  const named = axis.tickvals?.map((value, i): [number, string] => [
    on(scaled(value)),
    axis.ticktext?.[i] ?? String(value),
  ]);
  const round = (): [number, string][] =>
    roundTicks(low, high).map((tick) => [on(tick), String(Number((isLog ? 10 ** tick : tick).toPrecision(3)))]);
  return {
    at: (value) => on(scaled(Number(value))),
    unit: Math.abs(unit),
    ticks: named ?? (numbers.length ? round() : []),
  };
}
