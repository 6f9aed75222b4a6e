import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { inputSize, native, ofOutput0, type Traits } from "./kinds.js";
import { math } from "./math.js";
import { epsilonOf } from "./normalized.js";
import type { Op, OpCall, OpTable } from "./op.js";
import { reshape, sameShape, sumOver } from "./shapes.js";

/** All axes but the channel's, which is axis 1. */
const channelAxes = (type: TensorType): number[] => type.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));

/** A vector of the channels, shaped to broadcast over a tensor of that rank. */
const perChannel = (b: Emit, vector: string, rank: number): string =>
  reshape(b, vector, [...b.type(vector).shape, ...new Array<number>(Math.max(0, rank - 2)).fill(1)]);

/** x·scale + shift for each channel, in one pass of the inference kernel: (x − mean)·scale + shift. */
const affine = (b: Emit, x: string, scale: string, shift: string, mean: string): string => {
  const { dtype, shape } = b.type(mean);
  return b.op("BatchNormalization", [x, scale, shift, mean, b.constant(dtype, shape, 1)], { epsilon: float(0) });
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
    body: ({ b, x, node, ...call }) => {
      const m = math(b);
      const { shape } = call.input(0);
      const axes = b.vector(channelAxes(call.input(0)));
      const size = [shape[1] as number];
      const epsilon = epsilonOf(call);
      const momentum = call.float("momentum", 0.9);
      const wide = b.op("ReduceMean", [x(0), axes]);
      const mean = reshape(b, wide, size);
      // ReduceSumSquare would be one node less, and takes seven times as long as ReduceMean on the CPU;
      // about the mean: the difference of two large sums would lose the variance of a shifted channel
      const variance = reshape(b, b.op("ReduceMean", [m.square(m.sub(x(0), wide)), axes]), size);
      // an attribute would be rounded to float32, whatever X is
      const spread = m.add(variance, epsilon);
      const y = b.op("BatchNormalization", [x(0), x(1), x(2), mean, spread], { epsilon: float(0) });
      const renewed = (output: number, running: string, batch: string): string =>
        node.outputs[output] ? m.add(m.mul(running, momentum), m.mul(batch, 1 - momentum)) : "";
      return [
        y,
        renewed(1, x(3), mean),
        renewed(2, x(4), variance),
        mean,
        node.outputs[4] ? m.reciprocal(m.sqrt(spread)) : "",
      ];
    },
  },
);

/**
 * (dY, X, scale, batchMean, batchInvStd) → (dX, dScale, dB), the gradient of the op above:
 * dB = Σ dY, dScale = Σ dY·(X − mean)·invStd, dX = a·dY − a·invStd·dScale/n·(X − mean) − a·dB/n with a = scale·invStd.
 */
const trainingGradient: Op = native(
  (call) => {
    const { shape } = call.input(1);
    const vector = { dtype: call.input(2).dtype, shape: [shape[1] as number] };
    if (!sameShape(call.input(0).shape, shape))
      throw new NodeError(`shape mismatch: dY [${call.input(0).shape}] for X [${shape}]`, call.node);
    return [{ dtype: call.input(1).dtype, shape }, vector, vector];
  },
  "none",
  {
    flops: (call) => 9 * inputSize(call),
    inputTypes: "any",
    types: null,
    body: ({ b, x, node, input }) => {
      const m = math(b);
      const type = input(1);
      const rank = type.shape.length;
      const axes = channelAxes(type);
      const [dY, X, scale, mean, invStd] = [x(0), x(1), x(2), x(3), x(4)];
      const dB = sumOver(b, dY, axes, false);
      const product = m.mul(m.sub(X, perChannel(b, mean, rank)), dY);
      const dScale = m.mul(sumOver(b, product, axes, false), invStd);
      if (!node.outputs[0]) return ["", dScale, dB];
      const a = m.mul(scale, invStd);
      const perElement = m.mul(a, -(type.shape[1] as number) / elementCount(type.shape));
      const rest = affine(b, X, m.mul(m.mul(perElement, invStd), dScale), m.mul(perElement, dB), mean);
      return [m.add(rest, m.mul(dY, perChannel(b, a, rank))), dScale, dB];
    },
  },
);

/** Batch normalization: with frozen statistics the standard op, in training two ops of our own. */
export const batchNormalization: OpTable = {
  BatchNormalization: inference,
  "mutwo:BatchNormalization": training,
  "mutwo:BatchNormalizationGradient": trainingGradient,
};
