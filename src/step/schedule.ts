import { type Named, numericSettings, parseNamed } from "./settings.js";

/** How long a training is, in steps: what a schedule takes where its settings do not say. */
export interface Length {
  /** Steps of the whole training. */
  readonly total: number;
  /** Steps of one epoch. */
  readonly epoch: number;
}

/** The learning rate of a step, counted from 0, from the optimizer's own. */
export type Schedule = (base: number, step: number) => number;

/** A setting that is not given, and follows from the training's length. */
const byLength = Number.NaN;

interface Kind {
  readonly defaults: Readonly<Record<string, number>>;
  /** The rate `t` steps behind the warm-up; `span` is how many steps there are from there to `total`. */
  readonly rate: (base: number, t: number, settings: Readonly<Record<string, number>>, span: number) => number;
}

/** The part of a span that is behind, from 0 to 1. */
const part = (t: number, span: number): number => (span > 0 ? Math.min(1, t / span) : 1);

const kinds: Readonly<Record<string, Kind>> = {
  constant: { defaults: {}, rate: (base) => base },
  // lr·(1 − t/T): the transformers library's get_linear_schedule_with_warmup
  linear: { defaults: { total: byLength }, rate: (base, t, _, span) => base * (1 - part(t, span)) },
  // min + ½·(lr − min)·(1 + cos(π·t/T)): Loshchilov & Hutter 2017 (SGDR), equation 5, without restarts
  cosine: {
    defaults: { total: byLength, min: 0 },
    rate: (base, t, { min = 0 }, span) => min + 0.5 * (base - min) * (1 + Math.cos(Math.PI * part(t, span))),
  },
  // lr·γ^⌊t/every⌋: PyTorch's StepLR
  step: {
    defaults: { every: byLength, gamma: 0.1 },
    rate: (base, t, { every = 1, gamma = 0.1 }) => base * gamma ** Math.floor(t / every),
  },
  // lr·γ^(t/every): PyTorch's ExponentialLR, which changes once an epoch, step by step
  exponential: {
    defaults: { every: byLength, gamma: 0.9 },
    rate: (base, t, { every = 1, gamma = 0.9 }) => base * gamma ** (t / every),
  },
};

export const scheduleNames: readonly string[] = Object.keys(kinds);

/** What each setting must be, and the words for it. */
const limits: Readonly<Record<string, readonly [holds: (value: number) => boolean, what: string]>> = {
  warmup: [(value) => Number.isSafeInteger(value) && value >= 0, "a whole number of steps from 0 on"],
  total: [(value) => Number.isSafeInteger(value) && value >= 1, "a whole number of steps from 1 on"],
  every: [(value) => Number.isSafeInteger(value) && value >= 1, "a whole number of steps from 1 on"],
  min: [(value) => value >= 0, "a learning rate from 0 on"],
  gamma: [(value) => value > 0, "a positive number"],
};

function settingsOf(named: Named): { kind: Kind; settings: Record<string, number> } {
  const kind = Object.hasOwn(kinds, named.name) ? kinds[named.name] : undefined;
  if (!kind) throw new Error(`unknown schedule: ${named.name} (one of ${scheduleNames.join(", ")})`);
  const settings: Record<string, number> = numericSettings(named, { warmup: 0, ...kind.defaults });
  for (const [name, value] of Object.entries(settings)) {
    const [holds, what] = limits[name] as (typeof limits)[string];
    if (!Number.isNaN(value) && !holds(value))
      throw new Error(`${name} of schedule ${named.name} is not ${what}: ${named.settings.get(name)}`);
  }
  const { warmup = 0, total = byLength } = settings;
  if (warmup > total)
    throw new Error(`warmup of schedule ${named.name} is longer than its total: ${warmup} > ${total}`);
  return { kind, settings };
}

/** Throws one line for an unknown schedule, an unknown setting or a wrong value; needs no model and no data. */
export const checkSchedule = (text: string): void => void settingsOf(parseNamed(text));

/**
 * Throws one line for a schedule that is right by itself and wrong for the optimizer's rate `base`: its least rate is above
 * that. A warm-up may be longer than the training: a short trial of a long one.
 */
export function checkScheduleFits(text: string, base: number): void {
  const named = parseNamed(text);
  const { min = 0 } = settingsOf(named).settings;
  if (min > base)
    throw new Error(`min of schedule ${named.name} is above the optimizer's learning rate: ${min} > ${base}`);
}

/** All settings of a schedule over a training of that length. */
function settled(text: string, length: Length): { kind: Kind; name: string; settings: Record<string, number> } {
  const named = parseNamed(text);
  const { kind, settings: given } = settingsOf(named);
  const standard: Readonly<Record<string, number>> = { total: length.total, every: Math.max(1, length.epoch) };
  const settings = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, Number.isNaN(value) ? (standard[name] as number) : value]),
  );
  return { kind, name: named.name, settings };
}

/** A schedule with all its settings, also those that follow from the training's length: what decides the rates. */
export function settledSchedule(text: string, length: Length): string {
  const { name, settings } = settled(text, length);
  return `${name}:${Object.entries(settings)
    .map(([key, value]) => `${key}=${value}`)
    .join(",")}`;
}

/**
 * The learning rate over a training: `constant`, `linear:total=`, `cosine:total=,min=`, `step:every=,gamma=` or
 * `exponential:every=,gamma=`; all take `warmup=`, in which it rises in a straight line: lr·(t+1)/warmup (Goyal et al.
 * 2017, 2.2). Counts are of steps; `total` is the whole training and `every` an epoch unless given; `min` is a learning
 * rate. A pure function of the step: a training that is resumed goes on with the same numbers. Throws as `checkSchedule`.
 */
export function scheduleOf(text: string, length: Length): Schedule {
  const { kind, settings } = settled(text, length);
  const { warmup = 0, total = length.total } = settings;
  return (base, step) =>
    step < warmup ? (base * (step + 1)) / warmup : kind.rate(base, step - warmup, settings, total - warmup);
}
