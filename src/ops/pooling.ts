import { NodeError } from "../graph/errors.js";
import { elementCount, int, ints, type TensorType, text } from "../graph/graph.js";
import { inputGradient } from "./convolution.js";
import { extentOf, globalType, type Window, windowAttributes, windowOf } from "./geometry.js";
import { inputSize, native, ofOutput0, outputSize } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, GradientCall, Normalize, OpCall, OpTable } from "./op.js";
import { asOneBatch } from "./over-models.js";
import { cast, reshape, sumOver, zeros } from "./shapes.js";

const poolWindow = (call: OpCall): Window => {
  if (call.input(0).shape.length < 3)
    throw new NodeError(`shape mismatch: ${call.node.op} of [${call.input(0).shape}]`, call.node);
  const kernel = call.ints("kernel_shape");
  if (!kernel) throw new NodeError(`${call.node.op} lacks kernel_shape`, call.node);
  return windowOf(call, call.input(0).shape.slice(2), kernel);
};

/** Output sizes; with ceil_mode a window may hang over the end, but not start in the padding after it. */
function pooled(call: OpCall): number[] {
  const window = poolWindow(call);
  const rank = window.kernel.length;
  const ceil = call.int("ceil_mode", 0) !== 0;
  return call
    .input(0)
    .shape.slice(2)
    .map((size, axis) => {
      const [stride, before] = [window.strides[axis] as number, window.pads[axis] as number];
      const steps = (size + before + (window.pads[axis + rank] as number) - extentOf(window, axis)) / stride;
      let count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
      if (ceil && (count - 1) * stride >= size + before) count--;
      if (count < 1)
        throw new NodeError(
          `shape mismatch: window [${window.kernel}] does not fit [${call.input(0).shape}]`,
          call.node,
        );
      return count;
    });
}

const poolFlops = (call: OpCall, outputs: readonly TensorType[]): number =>
  outputSize(outputs) * elementCount(call.ints("kernel_shape") ?? call.input(0).shape.slice(2));

/** Pads written out, so that no kernel has to resolve auto_pad. */
const explicitPads: Normalize = (call) => {
  const isFine = call.node.op === "MaxPool" || !call.ints("dilations");
  if (call.text("auto_pad", "NOTSET") === "NOTSET" && isFine) return undefined;
  const { auto_pad: _, dilations: __, ...attributes } = call.node.attributes;
  // AveragePool of opset 18 does not know the attribute, and one that needs it is written otherwise
  const { dilations, ...window } = windowAttributes(poolWindow(call));
  return call.b.add(
    call.node.op,
    call.node.inputs,
    { ...attributes, ...window, ...(call.node.op === "AveragePool" ? {} : { dilations }) },
    {
      name: call.node.name,
      count: call.outputCount,
    },
  );
};

/**
 * What each window's sum is multiplied by, over the output's spatial axes: one over the elements that count. With
 * count_include_pad these are the padded ones too, but not those beyond the padding that ceil_mode reaches.
 */
function shares(call: OpCall, spatial: readonly number[]): number[] {
  const window = poolWindow(call);
  const rank = window.kernel.length;
  const counts = spatial.map((n, axis) => {
    const size = call.input(0).shape[axis + 2] as number;
    const [before, after] = [window.pads[axis] as number, window.pads[axis + rank] as number];
    const [low, high] = call.int("count_include_pad", 0) ? [-before, size + after] : [0, size];
    return Array.from({ length: n }, (_, i) => {
      const start = i * (window.strides[axis] as number) - before;
      const taps = Array.from(
        { length: window.kernel[axis] as number },
        (_, k) => start + k * (window.dilations[axis] as number),
      );
      return taps.filter((at) => at >= low && at < high).length;
    });
  });
  return counts.reduce<number[]>((all, axis) => all.flatMap((c) => axis.map((k) => c * k)), [1]).map((c) => 1 / c);
}

/** Spread windows, which kernels of opset 18 do not know. */
const isDilated = (call: OpCall): boolean => poolWindow(call).dilations.some((d) => d !== 1);

/** An average over windows as a convolution of each channel. */
const averageByConvolution = (call: BodyCall, name?: string): string[] => {
  const { b } = call;
  const window = poolWindow(call);
  const { dtype, shape } = call.input(0);
  const channels = shape[1] as number;
  const spatial = pooled(call);
  // windows that ceil_mode adds hang over the end: zeros there
  const rank = spatial.length;
  const pads = window.pads.map((pad, i) => {
    const axis = i - rank;
    if (axis < 0) return pad;
    const last = ((spatial[axis] as number) - 1) * (window.strides[axis] as number) + extentOf(window, axis);
    return Math.max(pad, last - (shape[axis + 2] as number) - (window.pads[axis] as number));
  });
  const ones = b.constant(dtype, [channels, 1, ...window.kernel], 1);
  const sums = b.op("Conv", [call.x(0), ones], { ...windowAttributes({ ...window, pads }), group: int(channels) });
  const share = b.constant(dtype, [1, 1, ...spatial], shares(call, spatial));
  return b.add("Mul", [sums, share], {}, { name });
};

const spatialAxes = (call: OpCall): number[] => call.input(0).shape.flatMap((_, axis) => (axis < 2 ? [] : [axis]));

/** Where the winners of a MaxPool lie, row by row: its indices may go column by column. */
function winners(call: GradientCall): string {
  if (!call.int("storage_order", 0)) return call.y(1);
  const { storage_order: _, ...attributes } = call.node.attributes;
  return call.b.add("MaxPool", [call.x(0)], attributes, { count: 2 })[1] as string;
}

/** Pooling over windows and over whole images. */
export const pooling: OpTable = {
  /** The gradient goes to the element that won each window, by its index in the whole tensor. */
  MaxPool: native(
    (call) => {
      const { dtype, shape } = call.input(0);
      const out = [...shape.slice(0, 2), ...pooled(call)];
      return [
        { dtype, shape: out },
        { dtype: "int64", shape: out },
      ];
    },
    ofOutput0((call, dY) => {
      const attributes = { ...windowAttributes(poolWindow(call)), shape: ints(call.input(0).shape) };
      return [call.b.op("MaxPoolGradient", [dY, winners(call)], attributes, { domain: "mutwo" })];
    }),
    {
      in16Bits: "data",
      // its indices are places in the whole tensor
      overModels: (call) => (call.node.outputs[1] ? undefined : asOneBatch()(call)),
      flops: poolFlops,
      defaults: { auto_pad: text("NOTSET"), storage_order: int(0), ceil_mode: int(0) },
      types: { T: 0, I: "int64" },
      normalize: explicitPads,
    },
  ),
  /** (dY, indices into the flattened X) → dX. */
  "mutwo:MaxPoolGradient": native((call) => [{ dtype: call.input(0).dtype, shape: call.ints("shape") ?? [] }], "none", {
    types: null,
    inputTypes: "any",
    flops: (call) => elementCount(call.input(0).shape),
    body: ({ b, x, input, ints: list }) => {
      const shape = list("shape") ?? [];
      const count = elementCount(shape);
      const { dtype } = input(0);
      const empty = zeros(b, { dtype, shape: [count] });
      const sums = b.op(
        "ScatterElements",
        [empty, reshape(b, x(1), [elementCount(input(1).shape)]), reshape(b, x(0), [elementCount(input(0).shape)])],
        {
          axis: int(0),
          reduction: { type: "string", value: "add" },
        },
      );
      return [reshape(b, sums, shape)];
    },
  }),
  /** The gradient is spread over each window: a transposed convolution of each channel with a window of ones. */
  AveragePool: native(
    (call) => {
      const { dtype, shape } = call.input(0);
      return [{ dtype, shape: [...shape.slice(0, 2), ...pooled(call)] }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const { dtype, shape } = call.input(0);
      const window = poolWindow(call);
      const channels = shape[1] as number;
      const spatial = b.type(dY).shape.slice(2);
      const scaled = b.op("Mul", [dY, b.constant(dtype, [1, 1, ...spatial], shares(call, spatial))]);
      const ones = b.constant(dtype, [channels, 1, ...window.kernel], 1);
      return [inputGradient(b, scaled, ones, call.input(0), window, channels)];
    }),
    {
      flops: poolFlops,
      overModels: asOneBatch(),
      normalize: (call) => (isDilated(call) ? averageByConvolution(call, call.node.name) : explicitPads(call)),
      body: (call) => averageByConvolution(call),
      defaults: { auto_pad: text("NOTSET"), ceil_mode: int(0), count_include_pad: int(0) },
    },
  ),
  GlobalAveragePool: native(
    globalType,
    ofOutput0((call, dY) => {
      const { shape } = call.input(0);
      const each = call.b.op("Mul", [dY, call.b.scalar(1 / elementCount(shape.slice(2)), dY)]);
      return [call.b.op("Expand", [each, call.b.vector(shape)])];
    }),
    {
      in16Bits: "all",
      overModels: asOneBatch(),
      flops: inputSize,
      body: (call) => [call.b.op("ReduceMean", [call.x(0), call.b.vector(spatialAxes(call))])],
    },
  ),
  /** The gradient goes to the elements that equal the maximum, in equal parts where several do. */
  GlobalMaxPool: native(
    globalType,
    ofOutput0((call, dY) => {
      const m = math(call.b);
      const chosen = cast(call.b, m.equal(call.x(0), call.y(0)), call.input(0).dtype);
      return [m.mul(chosen, m.div(dY, sumOver(call.b, chosen, spatialAxes(call))))];
    }),
    {
      flops: inputSize,
      overModels: asOneBatch(),
      body: (call) => [call.b.op("ReduceMax", [call.x(0), call.b.vector(spatialAxes(call))])],
    },
  ),
};
