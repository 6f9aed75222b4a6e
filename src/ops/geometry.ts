import { NodeError } from "../graph/errors.js";
import { type Attributes, ints, type TensorType } from "../graph/graph.js";
import type { OpCall } from "./op.js";

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
    throw new NodeError(`shape mismatch: window of rank ${kernel.length} for [${call.input(0).shape}]`, call.node);
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

/** The window of a convolution. */
export const convWindow = (call: OpCall): Window =>
  windowOf(call, call.input(0).shape.slice(2), call.input(1).shape.slice(2));

/** Throws `shape mismatch: …` if attribute kernel_shape is not what the weights say. */
export function checkKernel(call: OpCall): void {
  const { shape } = call.input(1);
  const kernel = call.ints("kernel_shape");
  if (kernel && kernel.join() !== shape.slice(2).join())
    throw new NodeError(`shape mismatch: kernel_shape [${kernel}] for W [${shape}]`, call.node);
}

/** Type of a convolution's output. Throws `shape mismatch: …`. */
export function convType(call: OpCall): TensorType[] {
  const [x, w] = [call.input(0), call.input(1)];
  const group = call.int("group", 1);
  if (
    x.shape.length < 3 ||
    w.shape.length !== x.shape.length ||
    (w.shape[1] as number) * group !== x.shape[1] ||
    (w.shape[0] as number) % group
  )
    throw new NodeError(`shape mismatch: X [${x.shape}] for W [${w.shape}], group ${group}`, call.node);
  const bias = call.inputs[2];
  if (bias && bias.shape.join() !== String(w.shape[0]))
    throw new NodeError(`shape mismatch: bias [${bias.shape}] for W [${w.shape}]`, call.node);
  checkKernel(call);
  const window = convWindow(call);
  const spatial = x.shape.slice(2).map((size, axis) => positions(size, window, axis));
  if (spatial.some((n) => n < 1))
    throw new NodeError(`shape mismatch: W [${w.shape}] does not fit X [${x.shape}]`, call.node);
  return [{ dtype: x.dtype, shape: [x.shape[0] as number, w.shape[0] as number, ...spatial] }];
}

/** A transposed convolution's window and output sizes; auto_pad and output_shape are resolved into pads. */
export function transposeWindow(call: OpCall): {
  window: Window;
  extra: readonly number[];
  spatial: readonly number[];
} {
  const { auto_pad, ...attributes } = call.node.attributes;
  const sizes = call.input(0).shape.slice(2);
  const plain = { ...call, text: (_: string, otherwise: string) => otherwise, node: { ...call.node, attributes } };
  const given = windowOf(plain, sizes, call.input(1).shape.slice(2));
  const rank = sizes.length;
  const padding = call.ints("output_padding") ?? sizes.map(() => 0);
  if (padding.length !== rank)
    throw new NodeError(`shape mismatch: output_padding [${padding}] for [${call.input(0).shape}]`, call.node);
  const natural = sizes.map(
    (size, axis) => (size - 1) * (given.strides[axis] as number) + (padding[axis] as number) + extentOf(given, axis),
  );
  const auto = auto_pad?.type === "string" ? auto_pad.value : "NOTSET";
  const same = auto.startsWith("SAME");
  // output_shape may name all axes or the spatial ones only
  const asked = call.ints("output_shape")?.slice(-rank);
  const wanted = asked ?? (same ? sizes.map((n, i) => n * (given.strides[i] as number)) : undefined);
  // a size above the natural one is met by padding at the end, if it is asked for
  const whole = natural.map((n, axis) => Math.max(n, asked?.[axis] ?? 0));
  const extra = whole.map((n, axis) => n - (natural[axis] as number) + (padding[axis] as number));
  const tooMuch = extra.some((n, axis) => n > 0 && n >= (given.strides[axis] as number));
  if (tooMuch)
    throw new NodeError(
      `shape mismatch: output [${whole}] of [${natural}]: no more than a stride can be added`,
      call.node,
    );
  let pads = auto === "VALID" ? given.pads.map(() => 0) : given.pads;
  if (wanted) {
    const totals = wanted.map((n, axis) => Math.max(0, (whole[axis] as number) - n));
    const less = totals.map((total) => Math.floor(total / 2));
    const more = totals.map((total, axis) => total - (less[axis] as number));
    pads = auto === "SAME_UPPER" ? [...less, ...more] : [...more, ...less];
  }
  const spatial = whole.map((n, axis) => n - (pads[axis] as number) - (pads[axis + rank] as number));
  if (spatial.some((n) => n < 0) || (asked && spatial.join() !== asked.join()))
    throw new NodeError(`shape mismatch: output [${wanted ?? spatial}] of X [${call.input(0).shape}]`, call.node);
  return { window: { ...given, pads }, extra, spatial };
}

/** The output of an op over whole images: one element for each channel. */
export const globalType = (call: OpCall): TensorType[] => {
  const { dtype, shape } = call.input(0);
  if (shape.length < 3) throw new NodeError(`shape mismatch: ${call.node.op} of [${shape}]`, call.node);
  return [{ dtype, shape: shape.map((size, axis) => (axis < 2 ? size : 1)) }];
};
