import { NodeError } from "../graph/errors.js";
import { elementCount, int, ints, type TensorType, text } from "../graph/graph.js";
import { convolutionInBlocks } from "./blocked.js";
import { transposedInBlocks } from "./blocked-transposed.js";
import { convBody, convTransposeBody, crop, filterGradientBody } from "./convolution-body.js";
import type { Emit } from "./emit.js";
import { gradientByRows } from "./filter-gradient.js";
import {
  checkKernel,
  convType,
  convWindow,
  extentOf,
  transposeWindow,
  type Window,
  windowAttributes,
} from "./geometry.js";
import { native, ofOutput0 } from "./kinds.js";
import type { ModelsRule, OpCall, OpTable } from "./op.js";
import { asOneBatch, isCommon, isCommonFrom, oneAfterAnother, outputsAt } from "./over-models.js";
import { sumOver } from "./shapes.js";

const convFlops = (call: OpCall, outputs: readonly TensorType[]): number =>
  2 * elementCount(outputs[0]?.shape ?? []) * elementCount(call.input(1).shape.slice(1));

/**
 * dX of a convolution: a transposed convolution of dY with W. Asymmetric pads, which kernels for it do not take
 * everywhere, become symmetric ones and a slice.
 */
export function inputGradient(b: Emit, dY: string, w: string, x: TensorType, window: Window, group: number): string {
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

/** Fewest positions of a window for each of which whole filters are worth being turned round: below, that costs more. */
const leastPositions = 256;

/**
 * Whether a transposed convolution is faster on a CPU as a convolution with its filters turned round: ONNX Runtime's
 * kernel of the first writes all products of a window before it adds them, group by group (2 cores, 64 channels of 56²:
 * 9.1 against 5.3 ms; 96 of 56², depthwise: 7.9 against 1.8; 512 of 7²: 7.9 against 7.2).
 */
function isTurnedFaster(call: OpCall): boolean {
  const [x, w] = [call.input(0), call.input(1)];
  const positions = (x.shape[0] as number) * elementCount(x.shape.slice(2));
  return (
    x.dtype === "float32" &&
    transposeWindow(call).window.strides.every((stride) => stride === 1) &&
    elementCount(w.shape.slice(2)) > 1 &&
    (call.int("group", 1) > 1 || positions >= leastPositions)
  );
}

/**
 * Filters of all models beside each other: each model's channels are groups of their own. Where all models read the same
 * image ungrouped, one convolution has the filters of all; where they have the same filters, their images are one batch.
 */
const groupedOverModels: ModelsRule = (call) => {
  const { models, node } = call;
  if (isCommonFrom(call, 1)) return asOneBatch()(call);
  const group = call.int("group", 1);
  const isOneImage = isCommon(call, 0) && group === 1 && node.op === "Conv";
  const x = isOneImage ? call.x(0) : call.joint(0, 1, oneAfterAnother(call.input(0).shape, models, 1));
  const w = call.joint(1, 0, oneAfterAnother(call.input(1).shape, models, 0));
  const bias = call.inputs[2] && call.joint(2, 0, oneAfterAnother(call.input(2).shape, models, 0));
  const attributes = { ...node.attributes, group: int(isOneImage ? 1 : group * models) };
  return outputsAt(call.again(bias ? [x, w, bias] : [x, w], attributes), 1);
};

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
    {
      product: "windows",
      overModels: groupedOverModels,
      flops: convFlops,
      defaults: { auto_pad: text("NOTSET"), group: int(1) },
      body: convBody,
      onHost: (call, { channelBlock }) => convolutionInBlocks(call, channelBlock),
    },
  ),
  /** (X, dY) → dW. */
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
      inputTypes: "any",
      flops: (call, outputs) =>
        2 *
        elementCount(outputs[0]?.shape ?? []) *
        elementCount([call.input(1).shape[0] as number, ...call.input(1).shape.slice(2)]),
      body: filterGradientBody,
      onHost: (call) => {
        const gradient = gradientByRows(call);
        return gradient === undefined ? undefined : [gradient];
      },
    },
  ),
  ConvTranspose: native(
    (call) => {
      const [x, w] = [call.input(0), call.input(1)];
      const group = call.int("group", 1);
      if (
        x.shape.length < 3 ||
        w.shape[0] !== x.shape[1] ||
        w.shape.length !== x.shape.length ||
        (x.shape[1] as number) % group
      )
        throw new NodeError(`shape mismatch: X [${x.shape}] for W [${w.shape}]`, call.node);
      const channels = (w.shape[1] as number) * group;
      const bias = call.inputs[2];
      if (bias && bias.shape.join() !== String(channels))
        throw new NodeError(`shape mismatch: bias [${bias.shape}] for W [${w.shape}]`, call.node);
      checkKernel(call);
      const { spatial } = transposeWindow(call);
      return [{ dtype: x.dtype, shape: [x.shape[0] as number, channels, ...spatial] }];
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
      product: "windows",
      overModels: groupedOverModels,
      flops: (call) => 2 * elementCount(call.input(0).shape) * elementCount(call.input(1).shape.slice(1)),
      defaults: { auto_pad: text("NOTSET"), group: int(1) },
      body: convTransposeBody,
      onHost: (call, { channelBlock }) =>
        transposedInBlocks(call, channelBlock) ?? (isTurnedFaster(call) ? convTransposeBody(call) : undefined),
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
