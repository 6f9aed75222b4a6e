import { elementCount, int, ints, type TensorType } from "../graph/graph.js";
import { offsetsOf, padded } from "./convolution-body.js";
import type { Emit } from "./emit.js";
import { type Window, windowOf } from "./geometry.js";
import type { BodyCall } from "./op.js";
import { reshape, sumOver } from "./shapes.js";

/** Images cut into planes, one for each place that a stride leaves over: [planes, rows, N, columns…, C]. */
interface Planes {
  /** Sizes of a plane's spatial axes. */
  readonly sizes: readonly number[];
  /** Positions in a row of a plane, of all images. */
  readonly positions: number;
  readonly strides: readonly number[];
}

/** What one offset inside the kernel sees: in which plane, and how many places further on along each axis. */
interface Tap {
  readonly plane: number;
  readonly shifts: readonly number[];
  /** The shifts as a number of positions of the plane. */
  readonly distance: number;
}

function tapOf({ strides, sizes, positions }: Planes, at: readonly number[], window: Window): Tap {
  let plane = 0;
  const shifts = at.map((k, axis) => {
    const stride = strides[axis] as number;
    const from = k * (window.dilations[axis] as number) - (window.pads[axis] as number);
    const shift = Math.floor(from / stride);
    plane = plane * stride + from - shift * stride;
    return shift;
  });
  const distance = shifts.reduce(
    (sum, shift, axis) => sum + shift * (axis === 0 ? positions : elementCount(sizes.slice(axis + 1))),
    0,
  );
  return { plane, shifts, distance };
}

/** X as planes with rows of zeros before and behind each, a row of channels for each position: [positions of all planes, C]. */
function planesOf(b: Emit, x: string, { strides, sizes }: Planes, zeroRows: readonly [number, number]): string {
  const [n, c, ...spatial] = b.type(x).shape as [number, number, ...number[]];
  const last = b.op("Transpose", [x], { perm: ints([0, ...spatial.map((_, axis) => axis + 2), 1]) });
  const split: number[] = [n];
  const axes: number[] = [];
  const steps: number[] = [];
  sizes.forEach((size, axis) => {
    axes.push(split.push(size) - 1);
    const stride = strides[axis] as number;
    if (stride > 1) steps.push(split.push(stride) - 1);
  });
  const [row = 0, ...columns] = axes;
  const perm = [...steps, row, 0, ...columns, split.push(c) - 1];
  const rows = b.op("Transpose", [reshape(b, last, split)], { perm: ints(perm) });
  const planes = reshape(b, rows, [elementCount(strides), sizes[0] as number, n * elementCount(sizes.slice(1)) * c]);
  const whole = padded(b, planes, [zeroRows[0], 0, zeroRows[1], 0]);
  return reshape(b, whole, [elementCount(b.type(whole).shape) / c, c]);
}

/** 1 for each position of a row, [N, columns…], from which the shifted one is in the image too, 0 for the others. */
function insideOf(b: Emit, { dtype, shape }: TensorType, { sizes, positions }: Planes, tap: Tap): string | undefined {
  const columns = sizes.slice(1);
  const inside = offsetsOf(columns).map((at) =>
    at.every((place, axis) => {
      const seen = place + (tap.shifts[axis + 1] as number);
      return seen >= 0 && seen < (columns[axis] as number);
    }),
  );
  if (!inside.includes(false)) return undefined;
  return b.constant(dtype, [positions], Array.from({ length: shape[0] as number }, () => inside.map(Number)).flat());
}

/** Fewest channels of X: a register's of AVX-512. */
const leastChannels = 16;

/** Positions that a product sums over at least where there are more of them in parts: threads then take a part each. */
const leastSum = 3072;

/** Into how many parts of equal rows the positions of all rows are cut. */
function partsOf(rows: number, positions: number): number {
  for (let parts = Math.max(1, Math.floor(positions / leastSum)); parts > 1; parts--)
    if (rows % parts === 0) return parts;
  return 1;
}

/**
 * dW of a convolution as one product for each offset inside the kernel, [M, P]·[P, C] with P positions of all images. What
 * the windows see at an offset are rows of one matrix, [positions, C], read where they lie: images lie row by row, so that
 * one step down is N·columns positions further on and one step to the side is one. Where that is another row, dY is zero.
 *
 * undefined where windows do not move over as many columns as there are, for groups, for kernels of one element, and where
 * it is not faster.
 */
export function gradientByRows(call: BodyCall): string | undefined {
  const { b } = call;
  const [x, dY] = [call.input(0), call.input(1)];
  const kernel = call.ints("kernel_shape") ?? [];
  const window = windowOf(call, x.shape.slice(2), kernel);
  const [n, m, ...moved] = dY.shape as [number, number, ...number[]];
  const c = x.shape[1] as number;
  const { strides } = window;
  const sizes = x.shape.slice(2).map((size, axis) => size / (strides[axis] as number));
  const fits = sizes.every((size, axis) => Number.isInteger(size) && (axis === 0 || size === moved[axis]));
  // fewer channels fill no register; of few channels and many results slices are smaller than dY is
  const isWorth = c >= leastChannels && (m <= 2 * c || strides.some((stride) => stride > 1));
  if (!fits || !isWorth || call.int("group", 1) !== 1 || elementCount(kernel) === 1) return undefined;
  const planes: Planes = { sizes, strides, positions: n * elementCount(sizes.slice(1)) };
  const { positions } = planes;
  const taps = offsetsOf(kernel).map((at) => tapOf(planes, at, window));
  const [rows, count] = [sizes[0] as number, (moved[0] as number) * positions];
  const distances = taps.map(({ distance }) => distance);
  const before = Math.max(0, Math.ceil(-Math.min(...distances) / positions));
  const behind = Math.max(0, Math.ceil((Math.max(...distances) + count) / positions) - rows);
  const matrix = planesOf(b, call.x(0), planes, [before, behind]);
  // [N, M, rows, columns…] → [parts, M, rows of a part, N·columns…]
  const parts = partsOf(moved[0] as number, count);
  const [height = 1, ...columns] = moved;
  const split = reshape(b, call.x(1), [n, m, parts, height / parts, ...columns]);
  const perm = [2, 1, 3, 0, ...columns.map((_, axis) => axis + 4)];
  const whole = reshape(b, b.op("Transpose", [split], { perm: ints(perm) }), [parts * m, height / parts, positions]);
  const products: string[] = [];
  const insides = taps.map((tap) => insideOf(b, dY, planes, tap));
  for (const inside of new Set(insides)) {
    const left = reshape(b, inside === undefined ? whole : b.op("Mul", [whole, inside]), [parts, m, count / parts]);
    taps.forEach(({ plane, distance }, i) => {
      if (insides[i] !== inside) return;
      const start = (plane * (before + rows + behind) + before) * positions + distance;
      const seen = b.op("Rows", [matrix], { start: int(start), count: int(count) }, { domain: "mutwo" });
      const product = b.op("MatMul", [left, reshape(b, seen, [parts, count / parts, c])]);
      products[i] = reshape(b, product, [1, parts, m * c]);
    });
  }
  const joined = b.op("Concat", products, { axis: int(0) });
  const sums = parts > 1 ? sumOver(b, joined, [1], false) : reshape(b, joined, [taps.length, m * c]);
  const identity = taps.flatMap((_, i) => taps.map((__, k) => Number(i === k)));
  // the product with the identity is exact for finite values, and takes a third of the time of a Transpose
  const last = b.op(
    "FusedMatMul",
    [sums, b.constant(dY.dtype, [taps.length, taps.length], identity)],
    {
      transA: int(1),
    },
    { domain: "com.microsoft" },
  );
  return reshape(b, last, [m, c, ...kernel]);
}
