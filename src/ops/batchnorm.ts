import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { inputSize, native, ofOutput0, type Traits } from "./kinds.js";
import { math } from "./math.js";
import { epsilonOf } from "./normalized.js";
import type { BodyCall, Op, OpCall, OpTable } from "./op.js";
import { cast, reshape, sameShape, sumOver } from "./shapes.js";

/** All axes but the channel's, which is axis 1. */
const channelAxes = (type: TensorType): number[] => type.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));

/** A vector of the channels, shaped to broadcast over a tensor of that rank. */
const perChannel = (b: Emit, vector: string, rank: number): string =>
  reshape(b, vector, [...b.type(vector).shape, ...new Array<number>(Math.max(0, rank - 2)).fill(1)]);

/** A tensor of 16 bits in the precision of statistics: kernels that compute sums of it read it so. */
const inPrecisionOf = (b: Emit, x: string, vector: string): string => cast(b, x, b.type(vector).dtype);

/** (x − mean)·scale/√spread + shift for each channel, by the inference kernel, in the precision of x. */
const inferred = (
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
function channels(call: OpCall, count: number): [TensorType, TensorType] {
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

/** Traits of (X, scale, B, mean, var): statistics and scales may be of another type than X. */
const statistical: Traits = {
  inputTypes: "any",
  scales: [1, 4],
  buffers: { 3: "running statistics", 4: "running statistics" },
  holds: { 1: "weight", 2: "weight" },
};

/** With frozen statistics: Y = (X − mean)·a + B with a = scale/√(var + ε). */
const inference: Op = native(
  (call) => {
    const [y, vector] = channels(call, 5);
    return call.outputCount > 1 ? [y, ...new Array<TensorType>(call.outputCount - 1).fill(vector)] : [y];
  },
  ofOutput0((call, dY) => {
    const { b } = call;
    const m = math(b);
    const rank = call.input(0).shape.length;
    const axes = channelAxes(call.input(0));
    const inverse = m.reciprocal(m.sqrt(m.add(call.x(4), epsilonOf(call))));
    const centred = (): string => m.sub(call.x(0), perChannel(b, call.x(3), rank));
    const scaled = (): string => m.mul(call.x(1), inverse);
    const dScale = (): string => m.mul(sumOver(b, m.mul(dY, centred()), axes, false), inverse);
    return [
      call.wants(0) ? m.mul(dY, perChannel(b, scaled(), rank)) : undefined,
      call.wants(1) ? dScale() : undefined,
      call.wants(2) ? sumOver(b, dY, axes, false) : undefined,
      // statistics that the model computes; those of its file are never trained
      call.wants(3) ? m.neg(m.mul(sumOver(b, dY, axes, false), scaled())) : undefined,
      call.wants(4) ? m.mul(m.mul(dScale(), scaled()), m.mul(inverse, -0.5)) : undefined,
    ];
  }),
  {
    ...statistical,
    flops: (call) => 2 * inputSize(call),
    types: { T: 0, T1: 1, T2: 3 },
    defaults: { epsilon: float(1e-5), momentum: float(0.9), training_mode: int(0) },
    normalize: (call) => {
      const { b, node, x } = call;
      const wanted = node.outputs.findLastIndex((name) => name !== "") + 1;
      if (!call.int("training_mode", 0) && wanted < 2) return undefined;
      // before opset 14 a node in training says so by its further outputs
      const attributes = { epsilon: float(epsilonOf(call)), momentum: float(call.float("momentum", 0.9)) };
      const count = Math.min(wanted, 3);
      return b.add("BatchNormalization", [0, 1, 2, 3, 4].map(x), attributes, {
        domain: "mutwo",
        name: node.name,
        count,
      });
    },
  },
);

/** A part of batch norm in training: an op of our own on which the gradient never walks. */
const part = (infer: Op["infer"], flops: number, traits: Traits & Required<Pick<Traits, "body">>): Op =>
  native(infer, "none", { inputTypes: "any", types: null, flops: (call) => flops * inputSize(call), ...traits });

/** Mean, variance + epsilon and renewed statistics of a batch, given the running ones, in standard ops. */
function batchStatistics({ b, x, ...call }: BodyCall, running: readonly [mean: string, variance: string]) {
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
  const variance = reshape(b, b.op("ReduceMean", [m.square(m.sub(full, wide)), axes]), size);
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

/** (X, scale, B, mean, var) → (Y, newMean, newVar, batchMean, batchInvStd): normalised with the batch's statistics. */
const training: Op = native(
  (call) => {
    const [y, vector] = channels(call, 5);
    return [y, vector, vector, vector, vector];
  },
  ofOutput0((call, dY) => {
    const { b } = call;
    const outputs = ["dX", "dScale", "dB"].map((name, i) => (call.wants(i) ? b.fresh(`${b.scope}/${name}`) : ""));
    const inputs = [dY, call.x(0), call.x(1), call.y(3), call.y(4)];
    const attributes = { epsilon: float(epsilonOf(call)) };
    return b
      .add("BatchNormalizationGradient", inputs, attributes, { domain: "mutwo", outputs })
      .map((name) => name || undefined);
  }),
  {
    ...statistical,
    in16Bits: "data",
    flops: (call) => 8 * inputSize(call),
    types: null,
    inPlaceOf: () => [[], [3], [4]],
    state: [
      [3, 1],
      [4, 2],
    ],
    body: (call) => {
      const { b, x, node } = call;
      const { mean, spread, inverse, renewed } = batchStatistics(call, [x(3), x(4)]);
      return [
        inferred(b, [x(0), x(1), x(2), mean, spread]),
        ...renewed.map((value, i) => (node.outputs[1 + i] ? value() : "")),
        mean,
        node.outputs[4] ? inverse() : "",
      ];
    },
    parts: ({ b, x, node }) => {
      const [, newMean, newVariance] = node.outputs;
      const { epsilon, momentum } = node.attributes;
      const [before, after, mean, inverse] = b.add(
        "BatchNormalizationStatistics",
        [x(0), x(3), x(4)],
        { ...(epsilon && { epsilon }), ...(momentum && { momentum }) },
        {
          domain: "mutwo",
          outputs: ["newMean", "newVar", "batchMean", "batchInvStd"].map((name, i) =>
            i > 1 || [newMean, newVariance][i] ? b.fresh(`${b.scope}/${name}`) : "",
          ),
        },
      ) as [string, string, string, string];
      const [y = ""] = b.add("BatchNormalizationApply", [x(0), x(1), x(2), mean, inverse], {}, { domain: "mutwo" });
      return [y, before, after, mean, inverse];
    },
  },
);

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

/** Type of the gradient of X, and of a vector of channels, given (dY, X, vector, …). */
function gradientTypes(call: OpCall): [TensorType, TensorType] {
  const { dtype, shape } = call.input(1);
  if (!sameShape(call.input(0).shape, shape))
    throw new NodeError(`shape mismatch: dY [${call.input(0).shape}] for X [${shape}]`, call.node);
  return [
    { dtype, shape },
    { dtype: call.input(2).dtype, shape: [shape[1] as number] },
  ];
}

/** dScale and dB in standard ops. */
function vectorGradients({ b, x, input }: BodyCall): [dScale: string, dB: string] {
  const m = math(b);
  const axes = channelAxes(input(1));
  const [dY, X] = [0, 1].map((slot) => inPrecisionOf(b, x(slot), x(3))) as [string, string];
  const dB = sumOver(b, dY, axes, false);
  const product = m.mul(m.sub(X, perChannel(b, x(3), input(1).shape.length)), dY);
  return [m.mul(sumOver(b, product, axes, false), x(4)), dB];
}

/**
 * Factors of dX = slope·dY + tilt·(X − mean) + level: slope = scale·invStd, tilt = −slope·invStd·dScale/n,
 * level = −slope·dB/n.
 */
function factors({ b, x, input }: BodyCall, dScale: string, dB: string): [slope: string, tilt: string, level: string] {
  const m = math(b);
  const { shape } = input(1);
  const slope = m.mul(x(2), x(4));
  const perElement = m.mul(slope, -(shape[1] as number) / elementCount(shape));
  return [slope, m.mul(m.mul(perElement, x(4)), dScale), m.mul(perElement, dB)];
}

/** dX of (dY, X, …) by those factors, in the precision of X. */
function appliedGradient(
  { b, x, input }: BodyCall,
  [mean, slope, tilt, level]: readonly [mean: string, slope: string, tilt: string, level: string],
): string {
  const m = math(b);
  const [dY, X] = [0, 1].map((slot) => inPrecisionOf(b, x(slot), mean)) as [string, string];
  const rest = affine(b, X, tilt, level, mean);
  return cast(b, m.add(rest, m.mul(dY, perChannel(b, slope, input(1).shape.length))), input(1).dtype);
}

/**
 * (dY, X, scale, batchMean, batchInvStd) → (dX, dScale, dB), the gradient of batch norm in training:
 * dB = Σ dY, dScale = Σ dY·(X − mean)·invStd, dX as in `factors`.
 */
const trainingGradient: Op = native(
  (call) => {
    const [dX, vector] = gradientTypes(call);
    return [dX, vector, vector];
  },
  "none",
  {
    flops: (call) => 9 * inputSize(call),
    inputTypes: "any",
    types: null,
    body: (call) => {
      const { x, node } = call;
      const [dScale, dB] = vectorGradients(call);
      if (!node.outputs[0]) return ["", dScale, dB];
      const [slope, tilt, level] = factors(call, dScale, dB);
      return [appliedGradient(call, [x(3), slope, tilt, level]), dScale, dB];
    },
    parts: ({ b, x, node }) => {
      const [dX, ...vectors] = node.outputs;
      const wanted = [dX, dX, dX, ...vectors];
      const [slope, tilt, level, dScale, dB] = b.add(
        "BatchNormalizationGradientSums",
        [0, 1, 2, 3, 4].map(x),
        {},
        {
          domain: "mutwo",
          outputs: ["slope", "tilt", "level", "dScale", "dB"].map((name, i) =>
            wanted[i] ? b.fresh(`${b.scope}/${name}`) : "",
          ),
        },
      ) as [string, string, string, string, string];
      const operands = [x(0), x(1), x(3), slope, tilt, level];
      const made = dX ? b.add("BatchNormalizationGradientApply", operands, {}, { domain: "mutwo" }) : [];
      return [made[0] ?? "", dScale, dB];
    },
  },
);

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

/**
 * Batch normalization: with frozen statistics the standard op, in training two ops of our own; where nodes are fused, each
 * of them is sums over the channels and a pointwise op, which become parts of other kernels.
 */
export const batchNormalization: OpTable = {
  BatchNormalization: inference,
  "mutwo:BatchNormalization": training,
  "mutwo:BatchNormalizationGradient": trainingGradient,
  "mutwo:BatchNormalizationStatistics": statistics,
  "mutwo:BatchNormalizationApply": apply,
  "mutwo:BatchNormalizationGradientSums": gradientSums,
  "mutwo:BatchNormalizationGradientApply": gradientApply,
};
