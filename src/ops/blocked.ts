import { NodeError } from "../graph/errors.js";
import { type Attributes, elementCount, int, ints, text } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { convType, convWindow, type Window, windowAttributes } from "./geometry.js";
import { native, noFlops, sameType } from "./kinds.js";
import type { BodyCall, Op, OpCall, OpTable } from "./op.js";
import { reshape } from "./shapes.js";

/**
 * ONNX Runtime's convolutions in blocks of channels: images lie as [N, C/B, H, W, B] with B channels side by side, as many
 * as a vector register of the processor holds. All tensors have the shapes that they have without blocks.
 *
 * Filters lie as [M/B, C/B, kH, kW, B of C, B of M]; those that see fewer channels than a block as [M/B, C, kH, kW, B of M],
 * where the image is not in blocks (`isFew`), and those of a depthwise convolution as [M/B, kH, kW, B of M].
 */
const blockOf = (call: OpCall): number => call.int("block", 1);

/** A convolution of an image of fewer channels than a block, which lies as always. */
const isFew = (channels: number, group: number, block: number): boolean => group === 1 && channels < block;

/** [N, C, …] ↔ [N, C/B, …, B], by standard ops. */
function moved(b: Emit, x: string, block: number, isBack: boolean): string {
  const { shape } = b.type(x);
  const [n, c, ...spatial] = shape as [number, number, ...number[]];
  const size = elementCount(spatial);
  const split = isBack ? [n, c / block, size, block] : [n, c / block, block, size];
  return reshape(b, b.op("Transpose", [reshape(b, x, split)], { perm: ints([0, 1, 3, 2]) }), shape);
}

const reorder = (op: string, isBack: boolean, defaults: Attributes): Op =>
  native(
    (call) => {
      const { shape } = call.input(0);
      if (shape.length !== 4 || (shape[1] as number) % blockOf(call))
        throw new NodeError(`shape mismatch: [${shape}] in blocks of ${blockOf(call)} channels`, call.node);
      return sameType(call);
    },
    "none",
    {
      flops: noFlops,
      kernel: { domain: "com.microsoft.nchwc", op, without: ["block"] },
      defaults: { channels_last: int(0), ...defaults },
      body: ({ b, x, ...call }) => [moved(b, x(0), blockOf(call), isBack)],
    },
  );

/** Filters in blocks as they lie without. */
function unblocked(b: Emit, w: string, block: number, isDense: boolean): string {
  const { shape } = b.type(w);
  const [m, c, ...kernel] = shape as [number, number, ...number[]];
  const size = elementCount(kernel);
  const [split, perm] = isDense
    ? [
        [m / block, c / block, size, block, block],
        [0, 4, 1, 3, 2],
      ]
    : [
        [m / block, c, size, block],
        [0, 3, 1, 2],
      ];
  return reshape(b, b.op("Transpose", [reshape(b, w, split)], { perm: ints(perm) }), shape);
}

/** Ops of images and filters in blocks of channels. */
export const blocked: OpTable = {
  "mutwo:IntoBlocks": reorder("ReorderInput", false, {}),
  "mutwo:OutOfBlocks": reorder("ReorderOutput", true, {}),
  /** (X, W, bias) → Y, all but the bias in blocks. */
  "mutwo:BlockedConv": native(
    (call) => {
      const block = blockOf(call);
      const [c = 0, m = 0] = [call.input(0).shape[1], call.input(1).shape[0]];
      const group = call.int("group", 1);
      const fits = isFew(c, group, block) || (c % block === 0 && (group === 1 || (group === c && group === m)));
      if (!fits || m % block || call.input(0).shape.length !== 4)
        throw new NodeError(`shape mismatch: ${c} and ${m} channels, group ${group}, in blocks of ${block}`, call.node);
      return convType(call);
    },
    "none",
    {
      flops: (call, outputs) => 2 * elementCount(outputs[0]?.shape ?? []) * elementCount(call.input(1).shape.slice(1)),
      kernel: { domain: "com.microsoft.nchwc", op: "Conv", without: ["block"] },
      defaults: { auto_pad: text("NOTSET"), group: int(1) },
      body: (call) => {
        const { b } = call;
        const block = blockOf(call);
        const group = call.int("group", 1);
        const few = isFew(call.input(0).shape[1] as number, group, block);
        const x = few ? call.x(0) : moved(b, call.x(0), block, true);
        const w = unblocked(b, call.x(1), block, group === 1 && !few);
        const bias = call.inputs[2] ? [call.x(2)] : [];
        const attributes = { ...windowAttributes(convWindow(call)), group: int(group) };
        return [moved(b, b.op("Conv", [x, w, ...bias], attributes), block, false)];
      },
    },
  ),
};

export const intoBlocks = (b: Emit, x: string, block: number): string =>
  b.op("IntoBlocks", [x], { block: int(block) }, { domain: "mutwo" });

export const outOfBlocks = (b: Emit, x: string, block: number): string =>
  b.op("OutOfBlocks", [x], { block: int(block), channels: int(b.type(x).shape[1] as number) }, { domain: "mutwo" });

/** Filters [M, C, kH, kW] in blocks. */
function filtersInBlocks(b: Emit, w: string, block: number, isDense: boolean): string {
  const { shape } = b.type(w);
  const [m, c, ...kernel] = shape as [number, number, number, number];
  // each pass takes one axis of a block to the end
  const inner = isDense ? intoBlocks(b, w, block) : w;
  const rows = reshape(b, inner, [m / block, block, c, elementCount(kernel)]);
  return reshape(b, intoBlocks(b, rows, block), shape);
}

/** Fewest positions for each of which whole filters are worth being brought into blocks. */
const leastPositions = 256;

/** Fewest products for each channel of image and result that are worth bringing those into blocks and back. */
const leastProducts = 128;

/** Sizes of a convolution: channels of image and result, groups, elements of a kernel, positions of the result. */
interface Sizes {
  readonly from: number;
  readonly to: number;
  readonly group: number;
  readonly kernel: number;
  readonly positions: number;
}

/**
 * Whether a convolution is faster in blocks, with its image and result brought there and back (2 cores with AVX-512, 64
 * channels of 56², 3 × 3: 4.2 against 5.3 ms; 256 of 14²: 3.9 against 5.0; 7 × 7 of 3 channels of 224²: 4.5 against 6.7;
 * depthwise 3 × 3 of 96 channels of 56²: 0.65 against 1.6).
 */
export function isFaster({ from, to, group, kernel, positions }: Sizes, block: number): boolean {
  if (block === 1 || kernel === 1 || to % block || positions < leastPositions) return false;
  if (isFew(from, group, block)) return from * kernel >= leastProducts;
  if (from % block) return false;
  if (group > 1) return group === from && group === to;
  return from * to * kernel >= leastProducts * (from + to);
}

/** A convolution by blocks of so many channels; undefined where that is not faster or there are none. */
export function convolutionInBlocks(call: BodyCall, block: number): string[] | undefined {
  const { b } = call;
  const [x, w] = [call.input(0), call.input(1)];
  const [y] = convType(call);
  const group = call.int("group", 1);
  if (x.dtype !== "float32" || x.shape.length !== 4 || !y) return undefined;
  const [from, to] = [x.shape[1] as number, w.shape[0] as number];
  const positions = elementCount(y.shape) / to;
  if (!isFaster({ from, to, group, kernel: elementCount(w.shape.slice(2)), positions }, block)) return undefined;
  const few = isFew(from, group, block);
  const image = few ? call.x(0) : intoBlocks(b, call.x(0), block);
  const filters = filtersInBlocks(b, call.x(1), block, group === 1 && !few);
  const bias = call.inputs[2] ? [call.x(2)] : [];
  return [outOfBlocks(b, inBlocks(b, [image, filters, ...bias], convWindow(call), group, block), block)];
}

/** A convolution of operands that lie in blocks. */
export const inBlocks = (b: Emit, operands: readonly string[], window: Window, group: number, block: number): string =>
  b.op(
    "BlockedConv",
    operands,
    { ...windowAttributes(window), group: int(group), block: int(block) },
    { domain: "mutwo" },
  );
