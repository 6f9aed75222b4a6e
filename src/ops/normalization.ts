import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, ints, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { inputSize, native, ofOutput0, sameType, type Traits } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, GradientCall, Op, OpCall, OpTable } from "./op.js";
import { axisOf, cast, normalizeAxes, reducedShape, reduceTo, reshape } from "./shapes.js";

const meanOver = (b: Emit, x: string, axes: readonly number[]): string => b.op("ReduceMean", [x, b.vector(axes)]);

const axesFrom = (first: number, rank: number): number[] =>
  Array.from({ length: Math.max(0, rank - first) }, (_, i) => first + i);

const epsilonOf = (call: OpCall, otherwise = 1e-5): number => call.float("epsilon", otherwise);

/** x − mean over the axes, and one over its standard deviation. */
function centre(b: Emit, x: string, axes: readonly number[], epsilon: number): { centred: string; inverse: string } {
  const m = math(b);
  const centred = m.sub(x, meanOver(b, x, axes));
  const variance = meanOver(b, m.square(centred), axes);
  return { centred, inverse: m.reciprocal(m.sqrt(m.add(variance, epsilon))) };
}

/** One over the root of the mean square over the axes. */
function inverseRms(b: Emit, x: string, axes: readonly number[], epsilon: number): string {
  const m = math(b);
  return m.reciprocal(m.sqrt(m.add(meanOver(b, m.square(x), axes), epsilon)));
}

/** Gradient through x̂ = (x − mean)·inverse: (g − mean g − x̂·mean(g·x̂))·inverse; without `centred`, mean g is left out. */
function throughNormalized(
  b: Emit,
  g: string,
  hat: string,
  inverse: string,
  axes: readonly number[],
  centred = true,
): string {
  const m = math(b);
  const slope = meanOver(b, m.mul(g, hat), axes);
  const level = centred ? m.sub(g, meanOver(b, g, axes)) : g;
  return m.mul(m.sub(level, m.mul(hat, slope)), inverse);
}

/** Gradients of X, scale and bias for Y = x̂·scale + bias, scale and bias broadcast against X under `shape`. */
function affineGradients(
  call: GradientCall,
  dY: string,
  parts: {
    readonly hat: string;
    readonly scaleShape: readonly number[];
    /** dX from the gradient of x̂. */
    readonly through: (g: string) => string;
  },
): (string | undefined)[] {
  const { b } = call;
  const m = math(b);
  const toVector = (gradient: string, index: number): string =>
    reshape(b, reduceTo(b, gradient, parts.scaleShape), call.input(index).shape);
  const dScale = call.wants(1) ? toVector(m.mul(dY, parts.hat), 1) : undefined;
  const dBias = call.inputs[2] && call.wants(2) ? toVector(dY, 2) : undefined;
  const scaled = (): string => m.mul(dY, reshape(b, call.x(1), parts.scaleShape));
  return [call.wants(0) ? parts.through(scaled()) : undefined, dScale, dBias];
}

/** Refuses gradients of the statistics that a normalization hands out beside Y. */
function onlyY(call: GradientCall): void {
  if (call.dy(1) || call.dy(2)) throw new NodeError(`no gradient: statistics of ${call.node.op}`, call.node);
}

const layerAxes = (call: OpCall): number[] => axesFrom(axisOf(call, -1), call.input(0).shape.length);

/** Type of the statistics of LayerNormalization: one for each row, in float32 whatever X is. */
const rowStatistics = (call: OpCall): TensorType => ({
  dtype: "float32",
  shape: reducedShape(call.input(0).shape, layerAxes(call), true),
});

/** Traits of a normalization of input 0 whose results input 1 scales. */
const normalizing: Traits = { flops: (call) => 8 * inputSize(call), scales: [1] };

const rowDefaults = { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) };

const layer: Op = native(
  (call) => [...sameType(call), rowStatistics(call), rowStatistics(call)],
  (call) => {
    onlyY(call);
    const dY = call.dy(0);
    if (!dY) return [];
    const { b } = call;
    const m = math(b);
    const { dtype } = call.input(0);
    const axes = layerAxes(call);
    const inverse = cast(b, call.y(2), dtype);
    const hat = m.mul(m.sub(call.x(0), cast(b, call.y(1), dtype)), inverse);
    return affineGradients(call, dY, {
      hat,
      scaleShape: call.input(1).shape,
      through: (g) => throughNormalized(b, g, hat, inverse, axes),
    });
  },
  { ...normalizing, types: { T: 0, U: "y1" }, defaults: rowDefaults, inputTypes: "any" },
);

/** Y = X/√(mean X² + ε)·scale, and output 1 = 1/√(mean X² + ε). */
const simplifiedLayer: Op = native(
  (call) => [...sameType(call), rowStatistics(call)],
  (call) => {
    onlyY(call);
    const dY = call.dy(0);
    if (!dY) return [];
    const { b } = call;
    const inverse = cast(b, call.y(1), call.input(0).dtype);
    const hat = math(b).mul(call.x(0), inverse);
    return affineGradients(call, dY, {
      hat,
      scaleShape: call.input(1).shape,
      through: (g) => throughNormalized(b, g, hat, inverse, layerAxes(call), false),
    });
  },
  {
    ...normalizing,
    since: "none",
    inputTypes: "any",
    flops: (call) => 5 * inputSize(call),
    types: { T: 0, U: "y1", V: "y0" },
    defaults: rowDefaults,
    body: (call) => {
      const m = math(call.b);
      const inverse = inverseRms(call.b, call.x(0), layerAxes(call), epsilonOf(call));
      const y = m.mul(m.mul(call.x(0), inverse), call.x(1));
      return [y, call.node.outputs[1] ? cast(call.b, inverse, "float32") : ""];
    },
  },
);

const rms: Op = native(
  sameType,
  ofOutput0((call, dY) => {
    const { b } = call;
    const axes = layerAxes(call);
    const inverse = inverseRms(b, call.x(0), axes, epsilonOf(call));
    const hat = math(b).mul(call.x(0), inverse);
    return affineGradients(call, dY, {
      hat,
      scaleShape: call.input(1).shape,
      through: (g) => throughNormalized(b, g, hat, inverse, axes, false),
    });
  }),
  {
    ...normalizing,
    since: 23,
    inputTypes: "any",
    flops: (call) => 5 * inputSize(call),
    types: null,
    body: (call) => {
      const m = math(call.b);
      const inverse = inverseRms(call.b, call.x(0), layerAxes(call), epsilonOf(call));
      return [m.mul(m.mul(call.x(0), inverse), call.x(1))];
    },
  },
);

/** Sum of a skip connection, then a normalization: (input, skip, gamma, …, bias) → (Y, statistics…, sum). */
const skip = (inner: "LayerNormalization" | "SimplifiedLayerNormalization"): Op => {
  const simplified = inner === "SimplifiedLayerNormalization";
  const biasIndex = simplified ? 3 : 4;
  const expand = (call: BodyCall): string[] => {
    const { b, x, inputs, node } = call;
    const m = math(b);
    const total = m.add(x(0), x(1));
    const sum = inputs[biasIndex] ? m.add(total, x(biasIndex)) : total;
    const affine = simplified ? [x(2)] : [x(2), inputs[3] ? x(3) : undefined];
    const wanted = node.outputs.findLastIndex((name, i) => name !== "" && i < 3) + 1;
    const count = Math.max(1, simplified ? wanted - 1 : wanted);
    const made = b.add(inner, [sum, ...affine], { epsilon: float(epsilonOf(call, 1e-12)) }, { count });
    return simplified
      ? [made[0] as string, "", made[1] ?? "", sum]
      : [made[0] as string, made[1] ?? "", made[2] ?? "", sum];
  };
  return native((call) => [...sameType(call), rowStatistics(call), rowStatistics(call), ...sameType(call)], "none", {
    flops: (call) => 9 * inputSize(call),
    types: null,
    body: expand,
    normalize: expand,
  });
};

const instanceAxes = (call: OpCall): number[] => axesFrom(2, call.input(0).shape.length);

/** The shape under which a vector of channels broadcasts over X. */
const channelShape = (call: OpCall, index: number): number[] => [
  ...call.input(index).shape,
  ...new Array<number>(call.input(0).shape.length - 2).fill(1),
];

const instance: Op = native(
  sameType,
  ofOutput0((call, dY) => {
    const { b } = call;
    const axes = instanceAxes(call);
    const { centred, inverse } = centre(b, call.x(0), axes, epsilonOf(call));
    const hat = math(b).mul(centred, inverse);
    return affineGradients(call, dY, {
      hat,
      scaleShape: channelShape(call, 1),
      through: (g) => throughNormalized(b, g, hat, inverse, axes),
    });
  }),
  {
    ...normalizing,
    defaults: { epsilon: float(1e-5) },
    body: (call) => {
      const { b, x } = call;
      const m = math(b);
      const { centred, inverse } = centre(b, x(0), instanceAxes(call), epsilonOf(call));
      const wide = (i: number): string => reshape(b, x(i), channelShape(call, i));
      return [m.add(m.mul(centred, m.mul(inverse, wide(1))), wide(2))];
    },
  },
);

/** X as [N, groups, the rest], the shape over whose last axis group normalization runs. */
function groupShape(call: OpCall): number[] {
  const { shape } = call.input(0);
  const [n = 1, c = 1] = shape;
  const groups = call.int("num_groups", 1);
  if (c % groups) throw new NodeError(`shape mismatch: ${c} channels in ${groups} groups`, call.node);
  return [n, groups, elementCount(shape) / (n * groups)];
}

/** Scale or bias of each channel; before opset 21 there is one for each group. */
function groupVector(call: BodyCall, index: number): string {
  const { b } = call;
  const channels = call.input(0).shape[1] as number;
  const [size = 1] = call.input(index).shape;
  if (size === channels) return call.x(index);
  const repeated = b.op("Expand", [reshape(b, call.x(index), [size, 1]), b.vector([size, channels / size])]);
  return reshape(b, repeated, [channels]);
}

const group: Op = native(
  (call) => {
    groupShape(call);
    return sameType(call);
  },
  ofOutput0((call, dY) => {
    const { b } = call;
    const { shape } = call.input(0);
    const grouped = groupShape(call);
    const { centred, inverse } = centre(b, reshape(b, call.x(0), grouped), [2], epsilonOf(call));
    const hat = math(b).mul(centred, inverse);
    const n = grouped[0] as number;
    // scale is one for each channel, or one for each group: [groups, channels of a group, 1] fits both
    const [size = 1] = call.input(1).shape;
    const fine = [n, size, elementCount(shape) / (n * size)];
    const m = math(b);
    const fold = (gradient: string, i: number): string =>
      reshape(b, reduceTo(b, reshape(b, gradient, fine), [1, size, 1]), call.input(i).shape);
    const scaled = (): string => m.mul(reshape(b, dY, fine), reshape(b, call.x(1), [1, size, 1]));
    return [
      call.wants(0)
        ? reshape(b, throughNormalized(b, reshape(b, scaled(), grouped), hat, inverse, [2]), shape)
        : undefined,
      call.wants(1) ? fold(m.mul(reshape(b, dY, grouped), hat), 1) : undefined,
      call.wants(2) ? fold(dY, 2) : undefined,
    ];
  }),
  {
    ...normalizing,
    // opset 18 has one scale and bias for each group, 21 one for each channel
    since: 21,
    types: null,
    body: (call) => {
      const { b } = call;
      const m = math(b);
      const { dtype, shape } = call.input(0);
      const grouped = groupShape(call);
      const groups = grouped[1] as number;
      const unit = [b.constant(dtype, [groups], 1), b.constant(dtype, [groups], 0)];
      const epsilon = float(epsilonOf(call));
      const hat = b.op("InstanceNormalization", [reshape(b, call.x(0), grouped), ...unit], { epsilon });
      const wide = (i: number): string => {
        const vector = groupVector(call, i);
        return reshape(b, vector, [shape[1] as number, ...new Array<number>(shape.length - 2).fill(1)]);
      };
      return [m.add(m.mul(reshape(b, hat, shape), wide(1)), wide(2))];
    },
  },
);

/** Y = X/‖X‖ₚ along an axis: dX = (dY − s·Σ dY·Y)/‖X‖ with s = Y for p = 2 and sign X for p = 1. */
const lp: Op = native(
  sameType,
  ofOutput0((call, dY) => {
    const { b } = call;
    const m = math(b);
    const axes = b.vector([axisOf(call, -1)]);
    const first = call.int("p", 2) === 1;
    const norm = b.op(first ? "ReduceL1" : "ReduceL2", [call.x(0), axes]);
    const inner = b.op("ReduceSum", [m.mul(dY, call.y(0)), axes]);
    const along = first ? m.sign(call.x(0)) : call.y(0);
    const inverse = m.where(m.greater(norm, 0), m.reciprocal(norm), 0);
    return [m.mul(m.sub(dY, m.mul(along, inner)), inverse)];
  }),
  { flops: (call) => 3 * inputSize(call), defaults: { axis: int(-1), p: int(2) } },
);

const varianceAxes = (call: OpCall): number[] =>
  normalizeAxes(call.ints("axes") ?? [0, 2, 3], call.input(0).shape.length);

/** Y = (X − mean)/(std + 1e-9). */
const meanVariance: Op = native(
  sameType,
  ofOutput0((call, dY) => {
    const { inverse } = centre(call.b, call.x(0), varianceAxes(call), 0);
    return [throughNormalized(call.b, dY, call.y(0), inverse, varianceAxes(call))];
  }),
  {
    flops: (call) => 8 * inputSize(call),
    defaults: { axes: ints([0, 2, 3]) },
    body: (call) => {
      const m = math(call.b);
      const { centred, inverse } = centre(call.b, call.x(0), varianceAxes(call), 1e-18);
      return [m.mul(centred, inverse)];
    },
  },
);

/** Normalization over rows, instances and groups. */
export const normalization: OpTable = {
  LayerNormalization: layer,
  SimplifiedLayerNormalization: simplifiedLayer,
  RMSNormalization: rms,
  "com.microsoft:SkipLayerNormalization": skip("LayerNormalization"),
  "com.microsoft:SkipSimplifiedLayerNormalization": skip("SimplifiedLayerNormalization"),
  InstanceNormalization: instance,
  GroupNormalization: group,
  LpNormalization: lp,
  MeanVarianceNormalization: meanVariance,
};
