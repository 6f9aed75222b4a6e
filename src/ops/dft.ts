import { int, ints } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { math } from "./math.js";
import { reshape } from "./shapes.js";

/** Larger matrices of sines are not made: 128 MiB in float32. */
export const mostElements = 2 ** 25;

/** Longer transforms are not made: their constants would hold twice as many elements. */
const longest = 2 ** 22;

/** Above it a transform is written as two shorter ones, where its length has factors. */
const manyElements = 2 ** 20;

/** A discrete Fourier transform along the second-last axis of a tensor whose last one is real (1) or complex (2). */
export interface Transform {
  /** Elements given; less than `length` stand for zeros behind them, more are left out. */
  readonly given: number;
  readonly length: number;
  /** Frequencies made. */
  readonly bins: number;
  /** 1: the input is real; 2: complex. */
  readonly parts: number;
  readonly inverse: boolean;
}

/** cos and sin of 2π·i/n; i is reduced first: large angles lose their last digits. */
const circle = (i: number, n: number): readonly [cos: number, sin: number] => {
  const angle = (2 * Math.PI * (i % n)) / n;
  return [Math.cos(angle), Math.sin(angle)];
};

/** The transform of real and imaginary parts as a matrix [rows·parts, bins·2]; each row times its weight. */
export function matrixOf({ length, bins, parts, inverse }: Transform, rows: number): number[] {
  const scale = inverse ? 1 / length : 1;
  const turn = inverse ? 1 : -1;
  const values: number[] = [];
  for (let i = 0; i < rows; i++)
    for (let part = 0; part < parts; part++)
      for (let k = 0; k < bins; k++) {
        const [cos, sin] = circle(i * k, length);
        // (re + i·im)·(cos + i·turn·sin)
        if (part === 0) values.push(scale * cos, scale * turn * sin);
        else values.push(-scale * turn * sin, scale * cos);
      }
  return values;
}

/** The largest divisor up to the root; 1 of a prime number. */
function divisorOf(length: number): number {
  for (let n = Math.floor(Math.sqrt(length)); n > 1; n--) if (length % n === 0) return n;
  return 1;
}

/** x with the first `size` elements of an axis, or with zeros behind to make so many. */
function fitted(b: Emit, x: string, axis: number, size: number): string {
  const { shape } = b.type(x);
  const given = shape[axis] as number;
  if (given > size) return b.op("Slice", [x, b.vector([0]), b.vector([size]), b.vector([axis])]);
  if (given === size) return x;
  const pads = [...shape, ...shape].map((_, i) => (i === axis + shape.length ? size - given : 0));
  return b.op("Pad", [x, b.vector(pads)]);
}

/** The transform of x [batch, given, parts]: [batch, bins, 2]. Throws for a length that neither fits nor has factors. */
export function transformed(b: Emit, x: string, transform: Transform): string {
  const { given, length, bins, parts } = transform;
  if (length > longest) throw new Error(`Fourier transform of ${length} elements is too long: the most is ${longest}`);
  const { dtype, shape } = b.type(x);
  const batch = shape[0] as number;
  const rows = Math.min(given, length);
  const elements = rows * parts * bins * 2;
  const first = divisorOf(length);
  if (elements <= manyElements || first === 1) {
    if (elements > mostElements)
      throw new Error(
        `Fourier transform of ${length} elements: a length without factors may be at most ${Math.floor(Math.sqrt(mostElements / 4))} long; give a dft_length with small factors`,
      );
    const values = matrixOf(transform, rows);
    const matrix = b.constant(dtype, [rows * parts, bins * 2], values);
    const flat = reshape(b, fitted(b, x, 1, rows), [batch, rows * parts]);
    return reshape(b, b.op("MatMul", [flat, matrix]), [batch, bins, 2]);
  }
  return fitted(b, inTwo(b, fitted(b, x, 1, length), first, transform), 1, bins);
}

/**
 * A transform of length p·q as q transforms of length p, turned, and p of length q (Cooley and Tukey): with elements
 * q·i + j and frequencies k + p·l, X[k + p·l] = Σj w(j·l, q)·w(j·k, p·q)·Σi w(i·k, p)·x[q·i + j].
 */
function inTwo(b: Emit, x: string, p: number, { length, parts, inverse }: Transform): string {
  const m = math(b);
  const [batch = 1] = b.type(x).shape;
  const q = length / p;
  const swap = (name: string, shape: readonly number[]): string =>
    b.op("Transpose", [reshape(b, name, shape)], { perm: ints([0, 2, 1, 3]) });
  const columns = reshape(b, swap(x, [batch, p, q, parts]), [batch * q, p, parts]);
  const inner = transformed(b, columns, { given: p, length: p, bins: p, parts, inverse });
  const { dtype } = b.type(x);
  /** By which real and imaginary parts are multiplied, one behind the other. */
  const turns = (weights: (i: number) => readonly number[]): string => {
    const values: number[] = [];
    for (let j = 0; j < q; j++) for (let k = 0; k < p; k++) values.push(...weights(j * k));
    return b.constant(dtype, [q, p, 2], values);
  };
  const turn = inverse ? 1 : -1;
  const spread = reshape(b, inner, [batch, q, p, 2]);
  const [re = "", im = ""] = b.add("Split", [spread, b.vector([1, 1])], { axis: int(3) }, { count: 2 });
  const crossed = b.op("Concat", [im, re], { axis: int(3) });
  const turned = m.add(
    m.mul(
      spread,
      turns((i) => [circle(i, length)[0], circle(i, length)[0]]),
    ),
    m.mul(
      crossed,
      turns((i) => [-turn * circle(i, length)[1], turn * circle(i, length)[1]]),
    ),
  );
  const lines = reshape(b, swap(turned, [batch, q, p, 2]), [batch * p, q, 2]);
  const outer = transformed(b, lines, { given: q, length: q, bins: q, parts: 2, inverse });
  return reshape(b, swap(outer, [batch, p, q, 2]), [batch, length, 2]);
}

/** Frequencies of one side of the spectrum of a real signal. */
export const halfOf = (length: number): number => Math.floor(length / 2) + 1;

/** A real signal [batch, length, 1] of one side of its spectrum [batch, given, 2 or 1]. */
export function realOf(b: Emit, x: string, { length, parts }: Transform): string {
  const rows = halfOf(length);
  const [batch = 1] = b.type(x).shape;
  if (rows * parts * length > mostElements)
    throw new Error(`inverse Fourier transform to ${length} real elements is too long`);
  const values = Array.from({ length: rows * parts * length }, (_, i) => {
    const [k, part, at] = [Math.floor(i / (parts * length)), Math.floor(i / length) % parts, i % length];
    const [cos, sin] = circle(k * at, length);
    // frequencies other than the first and the middle one stand for their mirror images too
    const weight = (k === 0 || 2 * k === length ? 1 : 2) / length;
    return weight * (part === 0 ? cos : -sin);
  });
  const matrix = b.constant(b.type(x).dtype, [rows * parts, length], values);
  const flat = reshape(b, fitted(b, x, 1, rows), [batch, rows * parts]);
  return reshape(b, b.op("MatMul", [flat, matrix]), [batch, length, 1]);
}
