import { NodeError } from "../graph/errors.js";
import { float, int, ints, type TensorType } from "../graph/graph.js";
import { inputSize, native, ofOutput0, sameType } from "./kinds.js";
import { math } from "./math.js";
import {
  affineGradients,
  axesFrom,
  centre,
  epsilonOf,
  inverseRms,
  normalizing,
  onlyY,
  throughNormalized,
} from "./normalized.js";
import type { BodyCall, Op, OpCall, OpTable } from "./op.js";
import { alongOwnAxis, outputsAt, rowsOfModels, shifted } from "./over-models.js";
import { axisOf, broadcastShape, cast, normalizeAxes, reducedShape, sameShape } from "./shapes.js";

const layerAxes = (call: OpCall): number[] => axesFrom(axisOf(call, -1), call.input(0).shape.length);

/** Type of the statistics of LayerNormalization: one for each row, in float32 whatever X is. */
const rowStatistics = (call: OpCall): TensorType => ({
  dtype: "float32",
  shape: reducedShape(call.input(0).shape, layerAxes(call), true),
});

const rowDefaults = { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) };

/** Throws `shape mismatch: …` for a scale or bias that does not broadcast over the rows. */
function checkRows(call: OpCall): void {
  const { shape } = call.input(0);
  for (const vector of call.inputs.slice(1, 3))
    if (vector && !sameShape(broadcastShape(shape, vector.shape), shape))
      throw new NodeError(`shape mismatch: [${vector.shape}] for the rows of [${shape}]`, call.node);
}

const rowTypes = (call: OpCall): TensorType[] => {
  checkRows(call);
  return sameType(call);
};

const layer: Op = native(
  (call) => [...rowTypes(call), rowStatistics(call), rowStatistics(call)],
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
  {
    ...normalizing,
    types: { T: 0, U: "y1" },
    defaults: rowDefaults,
    overModels: rowsOfModels,
    inputTypes: "any",
    parts: {
      of: (call) => {
        if (call.inputs.some((input) => input && input.dtype !== "float32")) return undefined;
        const { b } = call;
        const m = math(b);
        const { mean, centred, inverse } = centre(b, call.x(0), layerAxes(call), epsilonOf(call));
        const scaled = m.mul(m.mul(centred, inverse), call.x(1));
        const [, wantsMean, wantsInverse] = call.node.outputs;
        return [call.inputs[2] ? m.add(scaled, call.x(2)) : scaled, wantsMean ? mean : "", wantsInverse ? inverse : ""];
      },
    },
  },
);

/** Y = X/√(mean X² + ε)·scale, and output 1 = 1/√(mean X² + ε). */
const simplifiedLayer: Op = native(
  (call) => [...rowTypes(call), rowStatistics(call)],
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
    overModels: rowsOfModels,
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
  rowTypes,
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
    overModels: rowsOfModels,
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
    holds: { 2: "weight", 3: "weight", 4: "weight" },
    types: null,
    body: expand,
    normalize: expand,
  });
};

/** Y = X/‖X‖ₚ along an axis: dX = (dY − s·Σ dY·Y)/‖X‖ with s = Y for p = 2 and sign X for p = 1. */
const lp: Op = native(
  (call) => {
    axisOf(call, -1);
    if (call.int("p", 2) > 2) throw new NodeError(`unsupported: LpNormalization p=${call.int("p", 2)}`, call.node);
    return sameType(call);
  },
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
  { flops: (call) => 3 * inputSize(call), overModels: alongOwnAxis(-1), defaults: { axis: int(-1), p: int(2) } },
);

const varianceAxes = (call: OpCall): number[] =>
  normalizeAxes(call.ints("axes") ?? [0, 2, 3], call.input(0).shape.length);

/** Y = (X − mean)/(std + 1e-9). */
const meanVariance: Op = native(
  (call) => {
    varianceAxes(call);
    return sameType(call);
  },
  ofOutput0((call, dY) => {
    const { inverse } = centre(call.b, call.x(0), varianceAxes(call), 0);
    return [throughNormalized(call.b, dY, call.y(0), inverse, varianceAxes(call))];
  }),
  {
    flops: (call) => 8 * inputSize(call),
    overModels: (call) => {
      const at = call.at(0) ?? 0;
      const axes = ints(varianceAxes(call).map((axis) => shifted(axis, at)));
      return outputsAt(call.again([call.joint(0, at)], { axes }), at);
    },
    defaults: { axes: ints([0, 2, 3]) },
    body: (call) => {
      const m = math(call.b);
      const { centred, inverse } = centre(call.b, call.x(0), varianceAxes(call), 1e-18);
      return [m.mul(centred, inverse)];
    },
  },
);

/** Normalization over rows, and over axes that the node names. */
export const normalization: OpTable = {
  LayerNormalization: layer,
  SimplifiedLayerNormalization: simplifiedLayer,
  RMSNormalization: rms,
  "com.microsoft:SkipLayerNormalization": skip("LayerNormalization"),
  "com.microsoft:SkipSimplifiedLayerNormalization": skip("SimplifiedLayerNormalization"),
  LpNormalization: lp,
  MeanVarianceNormalization: meanVariance,
};
