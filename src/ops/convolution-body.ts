import { elementCount, int, ints, text } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import {
  convType,
  convWindow,
  extentOf,
  transposeWindow,
  type Window,
  windowAttributes,
  windowOf,
} from "./geometry.js";
import type { BodyCall } from "./op.js";
import { reshape, sumOver } from "./shapes.js";

/** The elements from `starts` on, as many as `sizes` says, of each spatial axis; itself if that is all. */
export function crop(b: Emit, x: string, starts: readonly number[], sizes: readonly number[]): string {
  if (sizes.every((size, axis) => size === b.type(x).shape[axis + 2])) return x;
  const ends = starts.map((start, axis) => start + (sizes[axis] as number));
  return b.op("Slice", [x, b.vector(starts), b.vector(ends), b.vector(starts.map((_, axis) => axis + 2))]);
}

/** Axes 0 and 1 exchanged. */
const swapped = (b: Emit, x: string): string =>
  b.op("Transpose", [x], { perm: ints(b.type(x).shape.map((_, axis) => (axis < 2 ? 1 - axis : axis))) });

/** Every offset inside a kernel, last axis fastest. */
export const offsetsOf = (kernel: readonly number[]): number[][] =>
  kernel.reduce<number[][]>(
    (all, size) => all.flatMap((at) => Array.from({ length: size }, (_, k) => [...at, k])),
    [[]],
  );

/** A tensor with zeros before and after its last axes. */
export function padded(b: Emit, x: string, pads: readonly number[]): string {
  if (pads.every((pad) => pad === 0)) return x;
  const rank = pads.length / 2;
  const lead = new Array<number>(b.type(x).shape.length - rank).fill(0);
  const all = [...lead, ...pads.slice(0, rank), ...lead, ...pads.slice(rank)];
  return b.op("Pad", [x, b.vector(all), b.scalar(0, x)], { mode: text("constant") });
}

/** What every window sees at one offset inside it: the padded tensor's last axes, spread and stepped. */
function tap(b: Emit, x: string, at: readonly number[], window: Window, spatial: readonly number[]): string {
  const lead = b.type(x).shape.length - spatial.length;
  const starts = at.map((k, axis) => k * (window.dilations[axis] as number));
  const ends = starts.map(
    (from, axis) => from + ((spatial[axis] as number) - 1) * (window.strides[axis] as number) + 1,
  );
  const axes = starts.map((_, axis) => axis + lead);
  const [sizes, steps] = [b.type(x).shape.slice(lead), window.strides];
  if (starts.every((from, axis) => from === 0 && ends[axis] === sizes[axis] && steps[axis] === 1)) return x;
  return b.op("Slice", [x, b.vector(starts), b.vector(ends), b.vector(axes), b.vector(steps)]);
}

/** A convolution as one matrix product for each offset inside the kernel: for element types without a kernel. */
export function convBody(call: BodyCall): string[] {
  const { b } = call;
  const [x, w] = [call.input(0).shape, call.input(1).shape];
  const window = convWindow(call);
  const group = call.int("group", 1);
  const [n, c, m] = [x[0] as number, (x[1] as number) / group, (w[0] as number) / group];
  const out = convType(call)[0]?.shape ?? [];
  const spatial = out.slice(2);
  const size = elementCount(spatial);
  const whole = padded(b, call.x(0), window.pads);
  // [M, C, k…] → [k, G, M/G, C/G]: each offset's matrices lie side by side
  const last = w.map((_, axis) => axis).slice(2);
  const filters = reshape(b, b.op("Transpose", [call.x(1)], { perm: ints([...last, 0, 1]) }), [
    elementCount(window.kernel),
    group,
    m,
    c,
  ]);
  let total: string | undefined;
  for (const [k, at] of offsetsOf(window.kernel).entries()) {
    const seen = reshape(b, tap(b, whole, at, window, spatial), [n, group, c, size]);
    const matrix = b.op("Slice", [filters, b.vector([k]), b.vector([k + 1]), b.vector([0])]);
    const term = b.op(c === 1 ? "Mul" : "MatMul", [matrix, seen]);
    total = total ? b.op("Add", [total, term]) : term;
  }
  const sum = reshape(b, total as string, out);
  if (!call.inputs[2]) return [sum];
  return [b.op("Add", [sum, reshape(b, call.x(2), [w[0] as number, ...spatial.map(() => 1)])])];
}

/** A transposed convolution: X with zeros between its elements, convolved with the turned kernel. */
export function convTransposeBody(call: BodyCall): string[] {
  const { b } = call;
  const [x, w] = [call.input(0).shape, call.input(1).shape];
  const { window, spatial } = transposeWindow(call);
  const group = call.int("group", 1);
  const [c, m] = [(x[1] as number) / group, w[1] as number];
  const spread = apartBy(b, call.x(0), window.strides);
  // the stride's zeros behind the last element, and the pads' share of the kernel's extent, may have to go
  const before = window.kernel.map((_, axis) => extentOf(window, axis) - 1 - (window.pads[axis] as number));
  const have = b.type(spread).shape.slice(2);
  const after = have.map(
    (size, axis) => (spatial[axis] as number) + extentOf(window, axis) - 1 - size - (before[axis] as number),
  );
  const pads = [...before, ...after];
  const fits = pads.every((pad) => pad >= 0);
  const kernelAxes = window.kernel.map((_, axis) => axis + 2);
  // [C, M/G, k…] → [G·M/G, C/G, k…], every kernel axis turned round
  const grouped = reshape(b, turned(b, call.x(1)), [group, c, m, ...window.kernel]);
  const perm = [0, 2, 1, ...kernelAxes.map((axis) => axis + 1)];
  const filters = reshape(b, b.op("Transpose", [grouped], { perm: ints(perm) }), [group * m, c, ...window.kernel]);
  const plain = { kernel: window.kernel, strides: kernelAxes.map(() => 1), dilations: window.dilations };
  const bias = call.inputs[2] ? [call.x(2)] : [];
  return [
    b.op("Conv", [fits ? spread : padded(b, spread, pads), filters, ...bias], {
      ...windowAttributes({ ...plain, pads: fits ? pads : pads.map(() => 0) }),
      group: int(group),
    }),
  ];
}

/** X with stride − 1 zeros behind each element of its spatial axes: [N, C, n, …] → [N, C, n·s, …]. */
function apartBy(b: Emit, x: string, strides: readonly number[]): string {
  if (strides.every((stride) => stride === 1)) return x;
  const { shape } = b.type(x);
  const apart = reshape(b, x, [...shape.slice(0, 2), ...shape.slice(2).flatMap((size) => [size, 1])]);
  const zeros = strides.flatMap((stride) => [0, stride - 1]);
  return reshape(b, padded(b, apart, [...zeros.map(() => 0), ...zeros]), [
    ...shape.slice(0, 2),
    ...shape.slice(2).map((size, axis) => size * (strides[axis] as number)),
  ]);
}

/**
 * Filters with every kernel axis turned round: as one axis, the last element first. A product with the exchange matrix is
 * exact for finite values, and takes a third of the time of a Slice with step −1.
 */
function turned(b: Emit, filters: string): string {
  const { shape, dtype } = b.type(filters);
  const size = elementCount(shape.slice(2));
  if (size === 1) return filters;
  const rows = reshape(b, filters, [elementCount(shape.slice(0, 2)), size]);
  const exchange = Array.from({ length: size * size }, (_, i) =>
    Number((i % size) + Math.floor(i / size) === size - 1),
  );
  return b.op("MatMul", [rows, b.constant(dtype, [size, size], exchange)]);
}

/**
 * dW of a convolution: for each offset inside the kernel, the product of dY with what the windows see there, summed over
 * the batch. The batch is part of the product, [M, N·P]·[N·P, C] with P windows, or of many products [N, M, P]·[N, P, C]
 * where those are small. A depthwise convolution has one product for each channel.
 */
function tapGradient(call: BodyCall, window: Window): string {
  const { b } = call;
  const [x, dY] = [call.input(0).shape, call.input(1).shape];
  const group = call.int("group", 1);
  const [n, c, m] = [x[0] as number, (x[1] as number) / group, (dY[1] as number) / group];
  const spatial = dY.slice(2);
  const size = elementCount(spatial);
  const isBatched = n * group * m * c <= elementCount(x) / 4;
  const images = padded(b, isBatched ? call.x(0) : swapped(b, call.x(0)), window.pads);
  const shape = (channels: number) => (isBatched ? [n, group, channels, size] : [group, channels, n * size]);
  const rows = reshape(b, isBatched ? call.x(1) : swapped(b, call.x(1)), shape(m));
  const products = offsetsOf(window.kernel).map((at) => {
    const seen = reshape(b, tap(b, images, at, window, spatial), shape(c));
    const product =
      c * m === 1
        ? sumOver(b, b.op("Mul", [rows, seen]), [isBatched ? 3 : 2])
        : b.op("FusedMatMul", [rows, seen], { transB: int(1) }, { domain: "com.microsoft" });
    return reshape(b, isBatched ? sumOver(b, product, [0]) : product, [1, group * m * c]);
  });
  const [first = ""] = products;
  const whole =
    products.length > 1
      ? b.op("Transpose", [b.op("Concat", products, { axis: int(0) })], { perm: ints([1, 0]) })
      : first;
  return reshape(b, whole, [group * m, c, ...window.kernel]);
}

/**
 * dW of a convolution as the convolution of X, batch and channels exchanged, with dY as its filter; steps and spreads
 * change places. A group's channels are convolved apart.
 */
function filterConvolution(call: BodyCall, window: Window): string {
  const { b } = call;
  const [x, dY] = [call.input(0).shape, call.input(1).shape];
  const group = call.int("group", 1);
  const [n, c, m] = [x[0] as number, (x[1] as number) / group, (dY[1] as number) / group];
  // [N, G·C, …] → [C, G·N, …]: the batch becomes channels, each group's apart
  const images = (name: string, shape: readonly number[], channels: number): string => {
    if (group === 1) return swapped(b, name);
    const split = reshape(b, name, [n, group, channels, ...shape.slice(2)]);
    const perm = [2, 1, 0, ...shape.slice(2).map((_, axis) => axis + 3)];
    return reshape(b, b.op("Transpose", [split], { perm: ints(perm) }), [channels, group * n, ...shape.slice(2)]);
  };
  const filters = swapped(b, reshape(b, call.x(1), [n, group * m, ...dY.slice(2)]));
  const product = b.op("Conv", [images(call.x(0), x, c), filters], {
    kernel_shape: ints(dY.slice(2)),
    strides: ints(window.dilations),
    dilations: ints(window.strides),
    pads: ints(window.pads),
    group: int(group),
  });
  // positions beyond the kernel appear where the stride does not divide the padded size
  return swapped(
    b,
    crop(
      b,
      product,
      window.kernel.map(() => 0),
      window.kernel,
    ),
  );
}

/** Offsets inside a kernel up to which a product for each is faster than one convolution with a large filter. */
const fewOffsets = 9;

/** dW of a convolution from X and dY. */
export function filterGradientBody(call: BodyCall): string[] {
  const [x, dY] = [call.input(0), call.input(1)];
  const kernel = call.ints("kernel_shape") ?? [];
  const window = windowOf(call, x.shape.slice(2), kernel);
  const isDepthwise = x.shape[1] === dY.shape[1] && call.int("group", 1) === x.shape[1];
  // only float32 has a convolution kernel everywhere
  const few = elementCount(kernel) <= fewOffsets && !isDepthwise;
  return [few || x.dtype !== "float32" ? tapGradient(call, window) : filterConvolution(call, window)];
}
