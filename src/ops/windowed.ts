import { NodeError } from "../graph/errors.js";
import { elementCount, int, ints, type TensorType, text } from "../graph/graph.js";
import { composite } from "./composite.js";
import type { Emit } from "./emit.js";
import { extentOf, globalType, type Window, windowAttributes, windowOf } from "./geometry.js";
import { inputSize, native, noFlops, ofOutput0, outputSize, sameType } from "./kinds.js";
import { math } from "./math.js";
import type { OpCall, OpTable } from "./op.js";
import { reshape, zeros } from "./shapes.js";

/** Σ|x|^p, the p-th root taken where the sum is not zero: its derivative is infinite there. */
function rootOf(b: Emit, sum: string, p: number): string {
  if (p === 1) return sum;
  const m = math(b);
  const positive = m.greater(sum, 0);
  const safe = m.where(positive, sum, 1);
  return m.masked(positive, p === 2 ? m.sqrt(safe) : m.pow(safe, 1 / p));
}

const powered = (b: Emit, x: string, p: number): string => {
  const m = math(b);
  if (p === 2) return m.square(x);
  return p === 1 ? m.abs(x) : m.pow(m.abs(x), p);
};

const lpWindow = (call: OpCall): Window => {
  if (call.input(0).shape.length < 3)
    throw new NodeError(`shape mismatch: LpPool of [${call.input(0).shape}]`, call.node);
  const kernel = call.ints("kernel_shape");
  if (!kernel) throw new NodeError(`LpPool lacks kernel_shape`, call.node);
  return windowOf(call, call.input(0).shape.slice(2), kernel);
};

/** The window with its end pads so that the output has the sizes that ceil_mode asks for. */
function lpPads(call: OpCall): { window: Window; spatial: number[] } {
  const window = lpWindow(call);
  const rank = window.kernel.length;
  const ceil = call.int("ceil_mode", 0) !== 0;
  const pads = [...window.pads];
  const spatial = call
    .input(0)
    .shape.slice(2)
    .map((size, axis) => {
      const [stride, before, after] = [window.strides[axis], pads[axis], pads[axis + rank]] as [number, number, number];
      const steps = (size + before + after - extentOf(window, axis)) / stride;
      let count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
      // the last window may hang over the end, but not start there
      if (ceil && (count - 1) * stride >= size + before) count--;
      if (count < 1)
        throw new NodeError(`shape mismatch: window [${window.kernel}] in [${call.input(0).shape}]`, call.node);
      pads[axis + rank] = Math.max(after, (count - 1) * stride + extentOf(window, axis) - size - before);
      return count;
    });
  return { window: { ...window, pads }, spatial };
}

interface Fold {
  readonly n: number;
  readonly channels: number;
  /** Image sizes, and those with padding. */
  readonly image: readonly number[];
  readonly padded: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
  /** Elements of a block, and blocks. */
  readonly block: number;
  readonly blocks: number;
  /** For each element of each block its place in the padded image. */
  readonly places: () => number[];
}

/** What Col2Im folds. Throws `shape mismatch: …`. */
function foldOf(call: OpCall): Fold {
  const { shape } = call.input(0);
  const [image, kernel] = [call.need(1), call.need(2)];
  const rank = image.length;
  const ones = image.map(() => 1);
  const strides = call.ints("strides") ?? ones;
  const dilations = call.ints("dilations") ?? ones;
  const pads = call.ints("pads") ?? [...ones, ...ones].map(() => 0);
  if ([kernel, strides, dilations].some(({ length }) => length !== rank) || pads.length !== 2 * rank)
    throw new NodeError(
      `shape mismatch: blocks [${kernel}], strides [${strides}], dilations [${dilations}], pads [${pads}] of image [${image}]`,
      call.node,
    );
  const at = (list: readonly number[], axis: number): number => list[axis] as number;
  const padded = image.map((size, axis) => size + at(pads, axis) + at(pads, axis + rank));
  const counts = padded.map((size, axis) =>
    Math.floor((size - at(dilations, axis) * (at(kernel, axis) - 1) - 1) / at(strides, axis) + 1),
  );
  const block = elementCount(kernel);
  const blocks = elementCount(counts);
  const [n = 0, columns = 0, given] = shape;
  if (shape.length !== 3 || columns % block || given !== blocks)
    throw new Error(
      `shape mismatch: [${shape}] for blocks [${kernel}] of image [${image}] (op Col2Im, node ${call.node.name})`,
    );
  /** Each place followed by those that lie some steps further along each axis. */
  const spread = (place: number, sizes: readonly number[], steps: readonly number[]): number[] =>
    sizes.reduce(
      (all, size, axis) => {
        const stride = at(steps, axis) * elementCount(padded.slice(axis + 1));
        return all.flatMap((from) => Array.from({ length: size }, (_, k) => from + k * stride));
      },
      [place],
    );
  const places = () => spread(0, kernel, dilations).flatMap((place) => spread(place, counts, strides));
  return {
    n,
    channels: columns / block,
    image,
    padded,
    begin: pads.slice(0, rank),
    end: pads.slice(rank),
    block,
    blocks,
    places,
  };
}

/** Ops over windows of images beside convolution and pooling. */
export const windows: OpTable = {
  /** X·(bias + α/size·Σ X² over neighbouring channels)^−β; channels laid along an axis that AveragePool slides over. */
  LRN: composite(
    sameType,
    (call) => {
      const { b } = call;
      const m = math(b);
      const { shape } = call.input(0);
      const [n = 1, c = 1, ...rest] = shape;
      const size = call.int("size", 1);
      const squares = reshape(b, m.square(call.x(0)), [n, 1, c, elementCount(rest)]);
      const most = Math.max(c - 1, 0); // farther neighbours are none
      const before = Math.min(Math.floor((size - 1) / 2), most);
      const after = Math.min(Math.ceil((size - 1) / 2), most);
      const window = before + 1 + after;
      const mean = b.op("AveragePool", [squares], {
        kernel_shape: ints([window, 1]),
        pads: ints([before, 0, after, 0]),
        count_include_pad: int(1),
      });
      const alpha = (call.float("alpha", 1e-4) * window) / size;
      const scale = m.add(m.mul(reshape(b, mean, shape), alpha), call.float("bias", 1));
      return [m.mul(call.x(0), m.pow(scale, -call.float("beta", 0.75)))];
    },
    { flops: (call) => (Math.min(call.int("size", 1), 2 * (call.input(0).shape[1] ?? 1)) + 6) * inputSize(call) },
  ),
  /** (Σ|X|^p)^(1/p) over windows: the sum as a convolution of each channel with ones. */
  LpPool: composite(
    (call) => {
      const { dtype, shape } = call.input(0);
      return [{ dtype, shape: [...shape.slice(0, 2), ...lpPads(call).spatial] }];
    },
    (call) => {
      const { b } = call;
      const { dtype, shape } = call.input(0);
      const channels = shape[1] as number;
      const { window } = lpPads(call);
      const p = call.int("p", 2);
      const ones = b.constant(dtype, [channels, 1, ...window.kernel], 1);
      const sum = b.op("Conv", [powered(b, call.x(0), p), ones], { ...windowAttributes(window), group: int(channels) });
      return [rootOf(b, sum, p)];
    },
    { flops: (call, outputs) => 2 * outputSize(outputs) * elementCount(lpWindow(call).kernel) },
  ),
  GlobalLpPool: composite(
    globalType,
    (call) => {
      const { b } = call;
      const axes = b.vector(
        call
          .input(0)
          .shape.slice(2)
          .map((_, i) => i + 2),
      );
      const p = call.int("p", 2);
      if (p <= 2) return [b.op(p === 1 ? "ReduceL1" : "ReduceL2", [call.x(0), axes])];
      return [rootOf(b, b.op("ReduceSum", [powered(b, call.x(0), p), axes]), p)];
    },
    { flops: (call) => 2 * inputSize(call) },
  ),
  /** (X, places in the flattened output, its shape) → the elements of X at these places, zeros elsewhere. */
  MaxUnpool: composite(
    (call) => {
      const { dtype, shape } = call.input(0);
      if (call.inputs[2]) return [{ dtype, shape: call.need(2) }];
      const kernel = call.ints("kernel_shape") ?? [];
      const pads = call.ints("pads") ?? [...kernel, ...kernel].map(() => 0);
      const strides = call.ints("strides") ?? kernel.map(() => 1);
      const rank = shape.length - 2;
      if (kernel.length !== rank || strides.length !== rank || pads.length !== 2 * rank)
        throw new NodeError(
          `shape mismatch: window [${kernel}], strides [${strides}], pads [${pads}] for [${shape}]`,
          call.node,
        );
      const spatial = kernel.map((k, axis) => {
        const cut = (pads[axis] as number) + (pads[axis + kernel.length] as number);
        return ((shape[axis + 2] as number) - 1) * (strides[axis] as number) + k - cut;
      });
      return [{ dtype, shape: [...shape.slice(0, 2), ...spatial] }];
    },
    (call) => {
      const { b } = call;
      const type = windows.MaxUnpool?.infer(call)[0] as TensorType;
      const count = [elementCount(call.input(0).shape)];
      const [x, places] = [reshape(b, call.x(0), count), reshape(b, call.x(1), count)];
      const flat = b.op(
        "ScatterElements",
        [zeros(b, { dtype: type.dtype, shape: [elementCount(type.shape)] }), places, x],
        { axis: int(0) },
      );
      return [reshape(b, flat, type.shape)];
    },
    { flops: noFlops, hostInputs: [2] },
  ),
  /** Adds the columns of blocks up into an image: the gradient takes each block's elements from there. */
  Col2Im: native(
    (call) => {
      const { n, channels, image } = foldOf(call);
      return [{ dtype: call.input(0).dtype, shape: [n, channels, ...image] }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const { n, channels, begin, end, padded, block, blocks, places } = foldOf(call);
      const framed = [...begin, ...end].some((pad) => pad !== 0)
        ? b.op("Pad", [dY, b.vector([0, 0, ...begin, 0, 0, ...end])])
        : dY;
      const flat = reshape(b, framed, [n, channels, elementCount(padded)]);
      const taken = b.op("Gather", [flat, b.vector(places())], { axis: int(2) });
      return [reshape(b, taken, [n, channels * block, blocks])];
    }),
    {
      flops: inputSize,
      hostInputs: [1, 2],
      defaults: {},
      normalize: (call) => {
        // kernels called by themselves insist on all attributes
        const { image } = foldOf(call);
        if (["strides", "dilations", "pads"].every((name) => call.ints(name))) return undefined;
        const list = (name: string, count: number, otherwise: number) => ({
          [name]: ints(call.ints(name) ?? new Array<number>(count).fill(otherwise)),
        });
        const rank = image.length;
        const attributes = { ...list("strides", rank, 1), ...list("dilations", rank, 1), ...list("pads", 2 * rank, 0) };
        return [call.b.op("Col2Im", [call.x(0), call.x(1), call.x(2)], attributes, { name: call.node.name })];
      },
      body: (call) => {
        const { b } = call;
        const { n, channels, image, begin, padded, block, blocks, places } = foldOf(call);
        const count = [n, channels, block * blocks];
        const index = b.op("Expand", [b.constant("int64", [1, 1, block * blocks], places()), b.vector(count)]);
        const empty = zeros(b, { dtype: call.input(0).dtype, shape: [n, channels, elementCount(padded)] });
        const flat = b.op("ScatterElements", [empty, index, reshape(b, call.x(0), count)], {
          axis: int(2),
          reduction: text("add"),
        });
        const whole = reshape(b, flat, [n, channels, ...padded]);
        const ends = image.map((size, axis) => size + (begin[axis] as number));
        return [b.op("Slice", [whole, b.vector(begin), b.vector(ends), b.vector(image.map((_, i) => i + 2))])];
      },
    },
  ),
};
