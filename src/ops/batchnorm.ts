import { elementCount, float, int, type TensorType } from "../graph/graph.js";
import {
  appliedGradient,
  batchStatistics,
  type ChannelDots,
  channelAxes,
  channels,
  dotsByRow,
  factors,
  gradientTypes,
  inferred,
  perChannel,
  vectorGradients,
} from "./batchnorm-parts.js";
import { inputSize, native, ofOutput0, type Traits } from "./kinds.js";
import { math } from "./math.js";
import { epsilonOf } from "./normalized.js";
import type { BodyCall, Op, OpTable } from "./op.js";
import { channelsOfModels } from "./over-models.js";
import { sumOver } from "./shapes.js";

/** Traits of (X, scale, B, mean, var): statistics and scales may be of another type than X. */
const statistical: Traits = {
  inputTypes: "any",
  scales: [1, 4],
  buffers: { 3: "running statistics", 4: "running statistics" },
  holds: { 1: "weight", 2: "weight" },
  overModels: channelsOfModels(),
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

/** Fewest elements of a channel of an image whose products are summed row by row. */
const leastRow = 512;

/** Whether sums over channels are sums of long rows that kernels multiply as they are. */
const hasRows = ({ dtype, shape }: TensorType): boolean =>
  dtype === "float32" && elementCount(shape.slice(2)) >= leastRow;

/** Batch norm in training, in standard ops. */
function normalized(call: BodyCall, dots?: ChannelDots): string[] {
  const { b, x, node } = call;
  const { mean, spread, inverse, renewed } = batchStatistics(call, [x(3), x(4)], dots);
  return [
    inferred(b, [x(0), x(1), x(2), mean, spread]),
    ...renewed.map((value, i) => (node.outputs[1 + i] ? value() : "")),
    mean,
    node.outputs[4] ? inverse() : "",
  ];
}

/** Its gradients, in standard ops. */
function normalizedGradients(call: BodyCall, dots?: ChannelDots): string[] {
  const { x, node } = call;
  const [dScale, dB] = vectorGradients(call, dots);
  if (!node.outputs[0]) return ["", dScale, dB];
  const [slope, tilt, level] = factors(call, dScale, dB);
  return [appliedGradient(call, [x(3), slope, tilt, level]), dScale, dB];
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
    body: (call) => normalized(call),
    onHost: (call) => (hasRows(call.input(0)) ? normalized(call, dotsByRow) : undefined),
    parts: {
      of: ({ b, x, node }) => {
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
  },
);

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
    body: (call) => normalizedGradients(call),
    onHost: (call) => (hasRows(call.input(1)) ? normalizedGradients(call, dotsByRow) : undefined),
    parts: {
      of: ({ b, x, node }) => {
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
  },
);

/**
 * Batch normalization: with frozen statistics the standard op, in training two ops of our own; where nodes are fused, each
 * of them is sums over the channels and a pointwise op (batchnorm-parts.ts), which become parts of other kernels.
 */
export const batchNormalization: OpTable = {
  BatchNormalization: inference,
  "mutwo:BatchNormalization": training,
  "mutwo:BatchNormalizationGradient": trainingGradient,
};
