/** A derivative by differences, and how far it may be off. */
export interface Slope {
  readonly slope: number;
  readonly error: number;
}

/** How far values may be off. */
export interface Noise {
  readonly least: number;
  readonly most: number;
}

/** How much of a kink's jump is left at half the step, where a smooth function has half of it. */
const kinkShare = 0.8;

/** Differences between both steps, as a share of the slope, from which on a point counts as too curved. */
const mostCurved = 0.1;

/** Parts of the step at which a smooth function bends by less than its values are rounded. */
const [small, smaller] = [1 / 101, 1 / 257];

/** Where `slopeOf` evaluates, for the step h. */
export const shiftsOf = (h: number): number[] =>
  [0, 2, 1, small, smaller].flatMap((part) => (part ? [part * h, -part * h] : [0]));

/**
 * Derivative of f at 0 by central differences with the steps h and 2h, put together to fourth order. A value of f may
 * be off by `least`, and up to `most` where a kernel computes in a lower precision, which shows close to 0. Undefined where
 * f has a kink or a jump within reach, bends too much, or is not finite.
 */
export function slopeOf(f: (shift: number) => number, h: number, { least, most }: Noise): Slope | undefined {
  const middle = f(0);
  const bendAt = (shift: number): number => Math.abs(f(shift) - 2 * middle + f(-shift));
  const differenceAt = (shift: number): number => (f(shift) - f(-shift)) / (2 * shift);
  const [one, two] = [differenceAt(h), differenceAt(2 * h)];
  const slope = (4 * one - two) / 3;
  if (!Number.isFinite(slope) || !Number.isFinite(middle)) return undefined;
  // how far a value beside 0 is off the line through its neighbours: on both sides, for roundings can be symmetric
  const share = smaller / small;
  const offLine = (to: number, between: number): number => Math.abs(f(between) - share * f(to) - (1 - share) * middle);
  const noise = Math.max(least, offLine(small * h, smaller * h), offLine(-small * h, -smaller * h));
  if (!(noise <= most)) return undefined;
  const rounding = (4 * noise) / h;
  const bend = bendAt(h) / h;
  if (bend > rounding && bend > (kinkShare * bendAt(2 * h)) / (2 * h)) return undefined;
  const curved = Math.abs(one - two);
  if (curved > mostCurved * Math.abs(slope) + rounding) return undefined;
  return { slope, error: curved / 10 + rounding };
}
