import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { inputSize, native, type Traits } from "./kinds.js";
import { math } from "./math.js";
import { epsilonOf } from "./normalized.js";
import type { BodyCall, Op, OpCall, OpTable } from "./op.js";
import { cast, reshape, sameShape, sumOver } from "./shapes.js";

/** All axes but the channel's, which is axis 1. */
export const channelAxes = (type: TensorType): number[] => type.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));

/** A vector of the channels, shaped to broadcast over a tensor of that rank. */
export const perChannel = (b: Emit, vector: string, rank: number): string =>
  reshape(b, vector, [...b.type(vector).shape, ...new Array<number>(Math.max(0, rank - 2)).fill(1)]);

/** A tensor of 16 bits in the precision of statistics: kernels that compute sums of it read it so. */
const inPrecisionOf = (b: Emit, x: string, vector: string): string => cast(b, x, b.type(vector).dtype);

/** (x − mean)·scale/√spread + shift for each channel, by the inference kernel, in the precision of x. */
export const inferred = (
  b: Emit,
  [x, scale, shift, mean, spread]: readonly [string, string, string, string, string],
): string =>
  cast(
    b,
    b.op("BatchNormalization", [inPrecisionOf(b, x, mean), scale, shift, mean, spread], { epsilon: float(0) }),
    b.type(x).dtype,
  );

/** (x − mean)·scale + shift for each channel, in one pass of the inference kernel. */
const affine = (b: Emit, x: string, scale: string, shift: string, mean: string): string => {
  const { dtype, shape } = b.type(mean);
  return inferred(b, [x, scale, shift, mean, b.constant(dtype, shape, 1)]);
};

/** Type of Y, and of a vector of channels. Throws `shape mismatch: …` for vectors of another length. */
export function channels(call: OpCall, count: number): [TensorType, TensorType] {
  const x = call.input(0);
  const size = x.shape[1];
  if (call.int("spatial", 1) === 0 && x.shape.length > 2)
    throw new NodeError(`unsupported: BatchNormalization spatial=0 of [${x.shape}]`, call.node);
  for (let i = 1; i < count; i++)
    if (size === undefined || !sameShape(call.input(i).shape, [size]))
      throw new NodeError(`shape mismatch: [${call.input(i).shape}] for the channels of [${x.shape}]`, call.node);
  return [
    { dtype: x.dtype, shape: x.shape },
    { dtype: call.input(count - 1).dtype, shape: [size as number] },
  ];
}

/** A part of batch norm in training: an op of our own on which the gradient never walks. */
const part = (infer: Op["infer"], flops: number, traits: Traits & Required<Pick<Traits, "body">>): Op =>
  native(infer, "none", { inputTypes: "any", types: null, flops: (call) => flops * inputSize(call), ...traits });

/** The sums, over all axes but the channel's, of products of two tensors: a vector of the channels. */
export type ChannelDots = (b: Emit, x: string, y: string) => string;

/** Products of elements, and their sums. */
const dotsByElement: ChannelDots = (b, x, y) => sumOver(b, math(b).mul(x, y), channelAxes(b.type(x)), false);

/** The same as a product of a row with a column for each channel of each image: no tensor of products (a third of the time). */
export const dotsByRow: ChannelDots = (b, x, y) => {
  const [n, c, ...rest] = b.type(x).shape as [number, number, ...number[]];
  const [rows, columns] = [x, y].map((name) => reshape(b, name, [n * c, 1, elementCount(rest)])) as [string, string];
  const dots = b.op("FusedMatMul", [rows, columns], { transB: int(1) }, { domain: "com.microsoft" });
  return sumOver(b, reshape(b, dots, [n, c]), [0], false);
};

/** Mean, variance + epsilon and renewed statistics of a batch, given the running ones, in standard ops. */
export function batchStatistics(
  { b, x, ...call }: BodyCall,
  running: readonly [mean: string, variance: string],
  dots?: ChannelDots,
) {
  const m = math(b);
  const { shape } = call.input(0);
  const axes = b.vector(channelAxes(call.input(0)));
  const size = [shape[1] as number];
  const momentum = call.float("momentum", 0.9);
  const full = inPrecisionOf(b, x(0), running[0]);
  const wide = b.op("ReduceMean", [full, axes]);
  const mean = reshape(b, wide, size);
  // ReduceSumSquare would be one node less, and takes seven times as long as ReduceMean on the CPU;
  // about the mean: the difference of two large sums would lose the variance of a shifted channel
  const centred = m.sub(full, wide);
  const count = elementCount(shape) / (shape[1] as number);
  const variance = dots
    ? m.div(dots(b, centred, centred), count)
    : reshape(b, b.op("ReduceMean", [m.square(centred), axes]), size);
  // an attribute would be rounded to float32, whatever X is
  const spread = m.add(variance, epsilonOf(call));
  const blend = (before: string, batch: string): string => m.add(m.mul(before, momentum), m.mul(batch, 1 - momentum));
  return {
    mean,
    spread,
    inverse: (): string => m.reciprocal(m.sqrt(spread)),
    renewed: [() => blend(running[0], mean), () => blend(running[1], variance)] as const,
  };
}

/** Type of the gradient of X, and of a vector of channels, given (dY, X, vector, …). */
export function gradientTypes(call: OpCall): [TensorType, TensorType] {
  const { dtype, shape } = call.input(1);
  if (!sameShape(call.input(0).shape, shape))
    throw new NodeError(`shape mismatch: dY [${call.input(0).shape}] for X [${shape}]`, call.node);
  return [
    { dtype, shape },
    { dtype: call.input(2).dtype, shape: [shape[1] as number] },
  ];
}

/** dScale and dB in standard ops. */
export function vectorGradients({ b, x, input }: BodyCall, dots = dotsByElement): [dScale: string, dB: string] {
  const m = math(b);
  const axes = channelAxes(input(1));
  const [dY, X] = [0, 1].map((slot) => inPrecisionOf(b, x(slot), x(3))) as [string, string];
  const dB = sumOver(b, dY, axes, false);
  const centred = m.sub(X, perChannel(b, x(3), input(1).shape.length));
  return [m.mul(dots(b, centred, dY), x(4)), dB];
}

/**
 * Factors of dX = slope·dY + tilt·(X − mean) + level: slope = scale·invStd, tilt = −slope·invStd·dScale/n,
 * level = −slope·dB/n.
 */
export function factors(
  { b, x, input }: BodyCall,
  dScale: string,
  dB: string,
): [slope: string, tilt: string, level: string] {
  const m = math(b);
  const { shape } = input(1);
  const slope = m.mul(x(2), x(4));
  const perElement = m.mul(slope, -(shape[1] as number) / elementCount(shape));
  return [slope, m.mul(m.mul(perElement, x(4)), dScale), m.mul(perElement, dB)];
}

/** dX of (dY, X, …) by those factors, in the precision of X. */
export function appliedGradient(
  { b, x, input }: BodyCall,
  [mean, slope, tilt, level]: readonly [mean: string, slope: string, tilt: string, level: string],
): string {
  const m = math(b);
  const [dY, X] = [0, 1].map((slot) => inPrecisionOf(b, x(slot), mean)) as [string, string];
  const rest = affine(b, X, tilt, level, mean);
  return cast(b, m.add(rest, m.mul(dY, perChannel(b, slope, input(1).shape.length))), input(1).dtype);
}

/** (X, mean, var) → (newMean, newVar, batchMean, batchInvStd). */
const statistics: Op = part(
  (call) => {
    const [, vector] = channels(call, 3);
    return [vector, vector, vector, vector];
  },
  4,
  {
    images: { inputs: [0], outputs: [] },
    buffers: { 1: "running statistics", 2: "running statistics" },
    inPlaceOf: () => [[1], [2]],
    state: [
      [1, 0],
      [2, 1],
    ],
    body: (call) => {
      const { x, node } = call;
      const { mean, inverse, renewed } = batchStatistics(call, [x(1), x(2)]);
      return [...renewed.map((value, i) => (node.outputs[i] ? value() : "")), mean, node.outputs[3] ? inverse() : ""];
    },
  },
);

/** (X, scale, B, mean, invStd) → Y = (X − mean)·invStd·scale + B. */
const apply: Op = part((call) => channels(call, 5).slice(0, 1), 4, {
  fusible: "elements",
  images: { inputs: [0], outputs: [0] },
  channelInputs: [1, 2, 3, 4],
  inPlace: [0],
  body: ({ b, x }) => [affine(b, x(0), math(b).mul(x(1), x(4)), x(2), x(3))],
});

/** (dY, X, scale, batchMean, batchInvStd) → (slope, tilt, level, dScale, dB): all that the gradients sum. */
const gradientSums: Op = part(
  (call) => {
    const [, vector] = gradientTypes(call);
    return [vector, vector, vector, vector, vector];
  },
  4,
  {
    fusible: "channels",
    images: { inputs: [0, 1], outputs: [] },
    channelInputs: [2, 3, 4],
    body: (call) => {
      const [dScale, dB] = vectorGradients(call);
      return [...factors(call, dScale, dB), dScale, dB].map((name, i) => (call.node.outputs[i] ? name : ""));
    },
  },
);

/** (dY, X, mean, slope, tilt, level) → dX = slope·dY + (tilt·(X − mean) + level). */
const gradientApply: Op = part((call) => gradientTypes(call).slice(0, 1), 5, {
  fusible: "elements",
  images: { inputs: [0, 1], outputs: [0] },
  channelInputs: [2, 3, 4, 5],
  inPlace: [0, 1],
  body: (call) => [appliedGradient(call, [2, 3, 4, 5].map(call.x) as [string, string, string, string])],
});

/** What batch norm in training, and its gradient, are made of where nodes are fused: sums over channels and pointwise ops. */
export const batchNormalizationParts: OpTable = {
  "mutwo:BatchNormalizationStatistics": statistics,
  "mutwo:BatchNormalizationApply": apply,
  "mutwo:BatchNormalizationGradientSums": gradientSums,
  "mutwo:BatchNormalizationGradientApply": gradientApply,
};
