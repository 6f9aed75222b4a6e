import { type DType, elementCount } from "../graph/graph.js";
import { numbersIn, type Value } from "../graph/values.js";

/**
 * What values follow that nobody learned: "even" steps along an axis; a "wave" (powers of one number; sines and cosines);
 * a "grid" (coordinates of places or anchors in rows, one row of numbers over and over, a few numbers in long runs).
 */
export type Formula = "even" | "wave" | "grid";

/** Half the distance from 1 to the next number. */
const roundoff: Readonly<Partial<Record<DType, number>>> = { bfloat16: 2 ** -8, float16: 2 ** -11 };

/** The fewest places on a line that can show powers or a wave, and even steps, which few numbers have by chance. */
const shortest = { wave: 4, even: 8 } as const;

/** Numbers of a tensor with the error that its element type allows. */
interface Numbers {
  readonly x: ArrayLike<number>;
  readonly shape: readonly number[];
  readonly error: number;
}

/**
 * The formula that the values follow; undefined for none.
 *
 * Lines along an axis, or along equal parts of it (a flattened grid; also behind the first two places, which stand for
 * a class token or padding), obey x[t+1] + x[t−1] = k·x[t] with one k for a line: positions, frequencies and tables of
 * them do, weights do not. Lines on which nothing changes say nothing.
 */
export function formulaOf({ dtype, shape, data }: Value): Formula | undefined {
  const x = numbersIn(dtype, data);
  const numbers: Numbers = { x, shape, error: 4 * (roundoff[dtype] ?? 2 ** -24) };
  if (!hasTwo(x)) return undefined;
  for (const [axis, length] of shape.entries()) {
    const found = alongAxis(numbers, axis, 0, length);
    if (found) return found;
  }
  for (const [axis, length] of shape.entries())
    for (const skipped of [0, 1, 2])
      for (const part of partsOf(length - skipped)) {
        const found = part < length && alongAxis(numbers, axis, skipped, part);
        if (found && (found === "wave" || skipped === 0)) return found;
      }
  return isTable(numbers) || isRepeated(numbers) ? "grid" : undefined;
}

/** Whether a tensor's elements in their order are one line of even steps: numbers that somebody filled in. */
export function isFilled({ dtype, data }: Value): boolean {
  const x = numbersIn(dtype, data);
  const [first = 0, second = 0] = [x[0], x[1]];
  for (let i = 2; i < x.length; i++) {
    const expected = first + i * (second - first);
    if (Math.abs((x[i] as number) - expected) > Math.abs(i * (second - first)) * 1e-3 + Math.abs(first) * 1e-3)
      return false;
  }
  return true;
}

function hasTwo(x: ArrayLike<number>): boolean {
  for (let i = 1; i < x.length; i++) if (x[i] !== x[0]) return true;
  return false;
}

/** Lengths of the equal parts that a line has, the longest first. */
function partsOf(length: number): number[] {
  const parts: number[] = [];
  for (let count = 1; count * shortest.wave <= length; count++) if (length % count === 0) parts.push(length / count);
  return parts;
}

type Line = {
  readonly kind: "still" | "even" | "power" | "wave" | "none";
  readonly k?: number;
  readonly first?: number;
};

/** What all lines of one length along an axis say; its first places are skipped. */
function alongAxis({ x, shape, error }: Numbers, axis: number, skipped: number, length: number): Formula | undefined {
  if (length < shortest.wave) return undefined;
  const size = shape[axis] as number;
  const stride = elementCount(shape.slice(axis + 1));
  const found = { still: 0, even: 0, power: 0, wave: 0 };
  const ks = { least: Number.POSITIVE_INFINITY, most: Number.NEGATIVE_INFINITY };
  const steps = new Set<number>();
  let fromZero = true;
  const isWhole = length === size;
  for (let block = 0; block < x.length; block += size * stride)
    for (let place = skipped; place < size; place += length)
      for (let inner = 0; inner < stride; inner++) {
        const start = block + place * stride + inner;
        const { kind, k = 2 } = lineOf(x, start, stride, length, error);
        if (kind === "none" || (kind === "power" && !isWhole)) return undefined;
        found[kind]++;
        const first = x[start] as number;
        if (kind !== "still") fromZero &&= Math.abs(first * (first - 1)) < 1e-6;
        if (kind === "wave") {
          ks.least = Math.min(ks.least, k);
          ks.most = Math.max(ks.most, k);
        }
        if (kind === "even") steps.add(Number(((x[start + stride] as number) - first).toPrecision(4)));
      }
  // somebody's sine of one frequency is no table
  const isTable = fromZero || (ks.most - ks.least > 1e-3 && length >= shortest.even);
  if (found.wave ? isTable && found.wave > 1 : found.power) return "wave";
  if (found.wave || !found.even) return undefined;
  const isGrid = found.even > 1 && found.still > 1 && steps.size === 1;
  return length >= shortest.even || isGrid ? "even" : undefined;
}

/** How the values go on along one line; a line may bend once (distances from a place, or up to a mask). */
function lineOf(x: ArrayLike<number>, start: number, stride: number, length: number, error: number): Line {
  const at = (t: number): number => x[start + t * stride] as number;
  const isLong = length >= shortest.even;
  // most weights end here
  let least = at(0);
  let most = least;
  for (let t = 1; t < length; t++) {
    least = Math.min(least, at(t));
    most = Math.max(most, at(t));
  }
  const scale = Math.max(Math.abs(least), Math.abs(most));
  const range = most - least;
  if (!Number.isFinite(range)) return { kind: "none" };
  if (range <= scale * Math.max(1e-6, 8 * error)) return { kind: "still" };
  const tolerance = Math.max(range * (isLong ? 1e-3 : 1e-5), scale * error);
  const obeys = (k: number, within: number): boolean => {
    for (let t = 1; t < length - 1; t++) if (Math.abs(at(t - 1) + at(t + 1) - k * at(t)) > within) return false;
    return true;
  };
  const step = range / (length - 1);
  if (obeys(2, Math.max(step * 1e-3, scale * error))) return { kind: "even" };
  let largest = 1;
  for (let t = 2; t < length - 1; t++) if (Math.abs(at(t)) > Math.abs(at(largest))) largest = t;
  const k = (at(largest - 1) + at(largest + 1)) / at(largest);
  if (obeys(k, tolerance)) {
    const ratio = at(1) / at(0);
    for (let t = 0; t < length; t++)
      if (!(Math.abs(at(t) - at(0) * ratio ** t) <= tolerance)) return { kind: "wave", k };
    return { kind: "power" };
  }
  if (isSlopes(at, length)) return { kind: "power" };
  return { kind: isLong && bendsOnce(at, length, error) ? "even" : "none" };
}

/** Whether a line is of even steps but for one place, before or behind which it goes on in others. */
function bendsOnce(at: (t: number) => number, length: number, error: number): boolean {
  const broken: number[] = [];
  let moves = 0;
  for (let t = 1; t < length - 1; t++) {
    const [before, here, after] = [at(t - 1), at(t), at(t + 1)];
    const step = Math.min(Math.abs(here - before), Math.abs(after - here));
    const scale = Math.max(Math.abs(before), Math.abs(here), Math.abs(after));
    if (Math.abs(before + after - 2 * here) > Math.max(step * 1e-3, scale * error)) broken.push(t);
    else if (step > scale * error * 8) moves++;
  }
  const [first = 0] = broken;
  return moves > 0 && broken.length <= 2 && (broken[1] ?? first) - first <= 1;
}

/** Whether a line is that of ALiBi's slopes for so many heads, times some number (Press et al. 2022, its published code). */
function isSlopes(at: (t: number) => number, heads: number): boolean {
  const whole = 2 ** Math.floor(Math.log2(heads));
  const slope = (i: number): number =>
    i < whole ? 2 ** ((-8 * (i + 1)) / whole) : 2 ** ((-4 * (2 * (i - whole) + 1)) / whole);
  const factor = at(0) / slope(0);
  for (let i = 0; i < heads; i++) if (Math.abs(at(i) - factor * slope(i)) > Math.abs(at(i)) * 1e-2) return false;
  return heads > 4 && factor !== 0;
}

/** The most places that lie between an anchor and the same one of the next place, and of the next row. */
const mostAnchors = 32;
const longestRow = 256;

/** Places that decide whether it is worth looking at all. */
const first = 4096;

/**
 * Whether a tensor holds coordinates of places row by row, of several grids behind each other, with some anchors at each
 * place: along one axis of 2 to 8 coordinates, some go on in equal steps while others stand still. Also as the logits of
 * coordinates, and one coordinate alone.
 */
function isTable({ x, shape, error }: Numbers): boolean {
  const isLine = shape.filter((size) => size > 1).length === 1;
  const isTaken = (columns: readonly ((i: number) => number)[], length: number): boolean =>
    isCoordinates(columns, Math.min(length, first), error) && isCoordinates(columns, length, error);
  if (isLine && x.length >= longestRow && isTaken([(i) => x[i] as number], x.length)) return true;
  return shape.some((channels, axis) => {
    if (channels < 2 || channels > 8 || x.length < 64 * channels) return false;
    const stride = elementCount(shape.slice(axis + 1));
    const place = (i: number): number => Math.floor(i / stride) * stride * channels + (i % stride);
    const columns = Array.from({ length: channels }, (_, c) => (i: number) => x[place(i) + c * stride] as number);
    const logits = columns.map((column) => (i: number) => 1 / (1 + Math.exp(-column(i))));
    const length = x.length / channels;
    return [columns, logits].some((of) => isTaken(of, length));
  });
}

function isCoordinates(columns: readonly ((i: number) => number)[], length: number, error: number): boolean {
  const scale = columns.map((column) => {
    let most = 0;
    for (let i = 0; i < length; i++) most = Math.max(most, Math.abs(column(i)));
    return most;
  });
  const mostLag = Math.min(columns.length > 1 ? mostAnchors : longestRow, length / 8);
  for (let lag = 1; lag <= mostLag; lag++) {
    const kinds = columns.map((column, c) => {
      const tolerance = 2 * error * (scale[c] as number);
      let changes = 0;
      let predicted = 0;
      for (let i = lag; i + lag < length; i++) {
        const step = column(i + lag) - column(i);
        if (Math.abs(step) <= tolerance) continue;
        changes++;
        if (Math.abs(step - (column(i) - column(i - lag))) <= tolerance) predicted++;
      }
      if (changes >= length / 4 && predicted >= changes * (columns.length > 1 ? 0.5 : 0.75)) return "moves";
      return changes <= length / 2 ? "still" : "none";
    });
    if (kinds.includes("none") || !kinds.includes("moves")) continue;
    if (columns.length === 1 || kinds.includes("still")) return true;
  }
  return false;
}

/** Whether a few numbers fill a long tensor: in runs, or in one row of them over and over. */
function isRepeated({ x, shape }: Numbers): boolean {
  if (x.length < 64) return false;
  const distinct = new Set<number>();
  for (let i = 0; i < x.length; i++) if (distinct.add(x[i] as number).size > mostAnchors) return false;
  const last = shape.filter((size) => size > 1).at(-1) ?? 1;
  for (let lag = 1; lag <= mostAnchors && lag * 8 <= x.length; lag++) {
    // rows that shift by one place are a table of distances, which may be learned
    if (last % lag && lag % last) continue;
    let changes = 0;
    for (let i = 0; i + lag < x.length; i++) if (x[i] !== x[i + lag]) changes++;
    // zeros and ones one after another are a bias
    if (changes * 8 <= x.length) return lag > 1 || distinct.size > 2;
  }
  return false;
}
