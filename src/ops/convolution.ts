import type { Builder } from "../build.js";
import { type Attributes, elementCount, int, ints, type TensorType, text } from "../graph.js";
import { native, ofOutput0 } from "./kinds.js";
import type { OpCall, OpTable } from "./op.js";
import { reshape, sumOver } from "./shapes.js";

/** Where a window moves: for each spatial axis its size, step, spread and the padding before and after. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
}

/** A node's window; auto_pad is resolved for the spatial sizes of its input. */
export function windowOf(call: OpCall, spatial: readonly number[], kernel: readonly number[]): Window {
  const rank = spatial.length;
  const ones = new Array<number>(rank).fill(1);
  const strides = call.ints("strides") ?? ones;
  const dilations = call.ints("dilations") ?? ones;
  const auto = call.text("auto_pad", "NOTSET");
  const explicit = call.ints("pads") ?? new Array<number>(2 * rank).fill(0);
  if (kernel.length !== rank || strides.length !== rank || dilations.length !== rank || explicit.length !== 2 * rank)
    throw new Error(
      `shape mismatch: window of rank ${kernel.length} for [${call.input(0).shape}] (node ${call.node.name})`,
    );
  if (auto === "NOTSET") return { kernel, strides, dilations, pads: explicit };
  if (auto === "VALID") return { kernel, strides, dilations, pads: new Array<number>(2 * rank).fill(0) };
  const begin: number[] = [];
  const end: number[] = [];
  spatial.forEach((size, axis) => {
    const [stride, extent] = [
      strides[axis] as number,
      (dilations[axis] as number) * ((kernel[axis] as number) - 1) + 1,
    ];
    const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
    const less = Math.floor(total / 2);
    begin.push(auto === "SAME_LOWER" ? total - less : less);
    end.push(auto === "SAME_LOWER" ? less : total - less);
  });
  return { kernel, strides, dilations, pads: [...begin, ...end] };
}

/** A window as attributes. */
export const windowAttributes = ({ kernel, strides, dilations, pads }: Window): Attributes => ({
  kernel_shape: ints(kernel),
  strides: ints(strides),
  dilations: ints(dilations),
  pads: ints(pads),
});

/** Span of a window on one axis. */
export const extentOf = (w: Window, axis: number): number =>
  (w.dilations[axis] as number) * ((w.kernel[axis] as number) - 1) + 1;

/** Positions of a window on one axis. */
const positions = (size: number, w: Window, axis: number): number => {
  const padded = size + (w.pads[axis] as number) + (w.pads[axis + w.kernel.length] as number);
  return Math.floor((padded - extentOf(w, axis)) / (w.strides[axis] as number)) + 1;
};

const convWindow = (call: OpCall): Window => windowOf(call, call.input(0).shape.slice(2), call.input(1).shape.slice(2));

function convType(call: OpCall): TensorType[] {
  const [x, w] = [call.input(0), call.input(1)];
  const group = call.int("group", 1);
  if (
    x.shape.length < 3 ||
    w.shape.length !== x.shape.length ||
    (w.shape[1] as number) * group !== x.shape[1] ||
    (w.shape[0] as number) % group
  )
    throw new Error(`shape mismatch: X [${x.shape}] for W [${w.shape}], group ${group} (node ${call.node.name})`);
  const window = convWindow(call);
  const spatial = x.shape.slice(2).map((size, axis) => positions(size, window, axis));
  if (spatial.some((n) => n < 1))
    throw new Error(`shape mismatch: W [${w.shape}] does not fit X [${x.shape}] (node ${call.node.name})`);
  return [{ dtype: x.dtype, shape: [x.shape[0] as number, w.shape[0] as number, ...spatial] }];
}

const convFlops = (call: OpCall, outputs: readonly TensorType[]): number =>
  2 * elementCount(outputs[0]?.shape ?? []) * elementCount(call.input(1).shape.slice(1));

/** A transposed convolution's window and output sizes; auto_pad and output_shape are resolved into pads. */
function transposeWindow(call: OpCall): { window: Window; extra: readonly number[]; spatial: readonly number[] } {
  const { auto_pad, ...attributes } = call.node.attributes;
  const sizes = call.input(0).shape.slice(2);
  const plain = { ...call, text: (_: string, otherwise: string) => otherwise, node: { ...call.node, attributes } };
  const given = windowOf(plain, sizes, call.input(1).shape.slice(2));
  const rank = sizes.length;
  const extra = call.ints("output_padding") ?? sizes.map(() => 0);
  const whole = sizes.map(
    (size, axis) => (size - 1) * (given.strides[axis] as number) + (extra[axis] as number) + extentOf(given, axis),
  );
  const auto = auto_pad?.type === "string" ? auto_pad.value : "NOTSET";
  const same = auto.startsWith("SAME");
  // output_shape may name all axes or the spatial ones only
  const wanted =
    call.ints("output_shape")?.slice(-rank) ??
    (same ? sizes.map((n, i) => n * (given.strides[i] as number)) : undefined);
  let pads = auto === "VALID" ? given.pads.map(() => 0) : given.pads;
  if (wanted) {
    const totals = wanted.map((n, axis) => Math.max(0, (whole[axis] as number) - n));
    const less = totals.map((total) => Math.floor(total / 2));
    const more = totals.map((total, axis) => total - (less[axis] as number));
    pads = auto === "SAME_UPPER" ? [...less, ...more] : [...more, ...less];
  }
  const spatial = whole.map((n, axis) => n - (pads[axis] as number) - (pads[axis + rank] as number));
  if (spatial.some((n) => n < 0) || (call.ints("output_shape") && spatial.join() !== wanted?.join()))
    throw new Error(
      `shape mismatch: output [${wanted ?? spatial}] of X [${call.input(0).shape}] (node ${call.node.name})`,
    );
  return { window: { ...given, pads }, extra, spatial };
}

/** The elements from `starts` on, as many as `sizes` says, of each spatial axis; itself if that is all. */
function crop(b: Builder, x: string, starts: readonly number[], sizes: readonly number[]): string {
  if (sizes.every((size, axis) => size === b.type(x).shape[axis + 2])) return x;
  const ends = starts.map((start, axis) => start + (sizes[axis] as number));
  return b.op("Slice", [x, b.vector(starts), b.vector(ends), b.vector(starts.map((_, axis) => axis + 2))]);
}

/** Axes 0 and 1 exchanged. */
const swapped = (b: Builder, x: string): string =>
  b.op("Transpose", [x], { perm: ints(b.type(x).shape.map((_, axis) => (axis < 2 ? 1 - axis : axis))) });

/**
 * dX of a convolution: a transposed convolution of dY with W. Asymmetric pads, which kernels for it do not take
 * everywhere, become symmetric ones and a slice.
 */
export function inputGradient(b: Builder, dY: string, w: string, x: TensorType, window: Window, group: number): string {
  const rank = window.kernel.length;
  const spatial = b.type(dY).shape.slice(2);
  const [begin, end] = [window.pads.slice(0, rank), window.pads.slice(rank)];
  const symmetric = begin.map((pad, axis) => Math.min(pad, end[axis] as number));
  const sizes = spatial.map(
    (n, axis) => (n - 1) * (window.strides[axis] as number) + extentOf(window, axis) - 2 * (symmetric[axis] as number),
  );
  const wanted = x.shape
    .slice(2)
    .map((n, axis) => n + (begin[axis] as number) + (end[axis] as number) - 2 * (symmetric[axis] as number));
  // negative where the last window hangs over the padded end (ceil_mode): that part is cut off
  const missing = wanted.map((n, axis) => Math.max(0, n - (sizes[axis] as number)));
  const full = b.op("ConvTranspose", [dY, w], {
    ...windowAttributes({ ...window, pads: [...symmetric, ...symmetric] }),
    group: int(group),
    output_padding: ints(missing),
  });
  const starts = begin.map((pad, axis) => pad - (symmetric[axis] as number));
  return crop(b, full, starts, x.shape.slice(2));
}

/** Convolutions. */
export const convolution: OpTable = {
  Conv: native(
    convType,
    ofOutput0((call, dY) => {
      const { b } = call;
      const window = convWindow(call);
      const group = call.int("group", 1);
      const attributes = { ...windowAttributes(window), group: int(group) };
      const axes = call.input(0).shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
      return [
        call.wants(0) ? inputGradient(b, dY, call.x(1), call.input(0), window, group) : undefined,
        call.wants(1) ? b.op("ConvFilterGradient", [call.x(0), dY], attributes, { domain: "mutwo" }) : undefined,
        call.inputs[2] && call.wants(2) ? sumOver(b, dY, axes, false) : undefined,
      ];
    }),
    { flops: convFlops, defaults: { auto_pad: text("NOTSET"), group: int(1) } },
  ),
  /**
   * (X, dY) → dW: the convolution of X, batch and channels exchanged, with dY as its filter; steps and spreads change
   * places. A group's channels are convolved apart.
   */
  "mutwo:ConvFilterGradient": native(
    (call) => {
      const [x, dY] = [call.input(0), call.input(1)];
      const kernel = call.ints("kernel_shape") ?? [];
      return [
        { dtype: x.dtype, shape: [dY.shape[1] as number, (x.shape[1] as number) / call.int("group", 1), ...kernel] },
      ];
    },
    "none",
    {
      types: null,
      flops: (call, outputs) =>
        2 *
        elementCount(outputs[0]?.shape ?? []) *
        elementCount([call.input(1).shape[0] as number, ...call.input(1).shape.slice(2)]),
      body: (call) => {
        const { b } = call;
        const [x, dY] = [call.input(0).shape, call.input(1).shape];
        const kernel = call.ints("kernel_shape") ?? [];
        const window = windowOf(call, x.slice(2), kernel);
        const group = call.int("group", 1);
        const [n, c, m] = [x[0] as number, (x[1] as number) / group, (dY[1] as number) / group];
        const pointwise =
          kernel.every((k) => k === 1) && window.strides.every((s) => s === 1) && window.pads.every((p) => p === 0);
        if (pointwise && group === 1) {
          const size = elementCount(x.slice(2));
          const rows = reshape(b, call.x(0), [n, c, size]);
          const columns = b.op("Transpose", [rows], { perm: ints([0, 2, 1]) });
          const each = b.op("MatMul", [reshape(b, call.x(1), [n, m, size]), columns]);
          return [reshape(b, sumOver(b, each, [0], false), [m, c, ...kernel])];
        }
        // [N, G·C, …] → [C, G·N, …]: the batch becomes channels, each group's apart
        const images = (name: string, shape: readonly number[], channels: number): string => {
          if (group === 1) return swapped(b, name);
          const split = reshape(b, name, [n, group, channels, ...shape.slice(2)]);
          const perm = [2, 1, 0, ...shape.slice(2).map((_, axis) => axis + 3)];
          return reshape(b, b.op("Transpose", [split], { perm: ints(perm) }), [channels, group * n, ...shape.slice(2)]);
        };
        const filters = (): string => {
          if (group === 1) return swapped(b, call.x(1));
          const split = reshape(b, call.x(1), [n, group * m, ...dY.slice(2)]);
          return swapped(b, split);
        };
        const product = b.op("Conv", [images(call.x(0), x, c), filters()], {
          kernel_shape: ints(dY.slice(2)),
          strides: ints(window.dilations),
          dilations: ints(window.strides),
          pads: ints(window.pads),
          group: int(group),
        });
        // positions beyond the kernel appear where the stride does not divide the padded size
        const starts = kernel.map(() => 0);
        return [swapped(b, crop(b, product, starts, kernel))];
      },
    },
  ),
  ConvTranspose: native(
    (call) => {
      const [x, w] = [call.input(0), call.input(1)];
      const group = call.int("group", 1);
      if (w.shape[0] !== x.shape[1] || w.shape.length !== x.shape.length)
        throw new Error(`shape mismatch: X [${x.shape}] for W [${w.shape}] (node ${call.node.name})`);
      const { spatial } = transposeWindow(call);
      return [{ dtype: x.dtype, shape: [x.shape[0] as number, (w.shape[1] as number) * group, ...spatial] }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const { window } = transposeWindow(call);
      const attributes = { ...windowAttributes(window), group: int(call.int("group", 1)) };
      const axes = call.input(0).shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
      return [
        call.wants(0) ? b.op("Conv", [dY, call.x(1)], attributes) : undefined,
        call.wants(1) ? b.op("ConvFilterGradient", [dY, call.x(0)], attributes, { domain: "mutwo" }) : undefined,
        call.inputs[2] && call.wants(2) ? sumOver(b, dY, axes, false) : undefined,
      ];
    }),
    {
      flops: (call) => 2 * elementCount(call.input(0).shape) * elementCount(call.input(1).shape.slice(1)),
      defaults: { auto_pad: text("NOTSET"), group: int(1) },
      // CUDA's kernel takes symmetric pads only: what they leave over is cut off
      normalize: (call) => {
        const { b } = call;
        const { window, extra, spatial } = transposeWindow(call);
        const rank = spatial.length;
        const before = window.pads.slice(0, rank);
        const least = before.map((pad, axis) => Math.min(pad, window.pads[axis + rank] as number));
        const isPlain = !call.ints("output_shape") && call.text("auto_pad", "NOTSET") === "NOTSET";
        if (isPlain && window.pads.join() === [...least, ...least].join()) return undefined;
        const [whole] = b.add(
          "ConvTranspose",
          call.node.inputs,
          {
            ...windowAttributes({ ...window, pads: [...least, ...least] }),
            group: int(call.int("group", 1)),
            output_padding: ints(extra),
          },
          { name: call.node.name },
        );
        const starts = before.map((pad, axis) => pad - (least[axis] as number));
        return [crop(b, whole as string, starts, spatial)];
      },
    },
  ),
};
