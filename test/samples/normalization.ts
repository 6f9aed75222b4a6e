import { float, int, ints } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const batchNorm = (shape: readonly number[]): SampleInput[] => {
  const vector = [shape[1] as number];
  return [tensor(shape, [-2, 3]), tensor(vector, [0.5, 1.5]), tensor(vector), tensor(vector), tensor(vector, [0.5, 2])];
};

const [n, c] = [3, 2];

const backwardInputs: SampleInput[] = [
  tensor([n, c, 4]),
  tensor([n, c, 4], [-2, 3]),
  tensor([c], [0.5, 1.5]),
  tensor([c]),
  tensor([c], [0.5, 1.5]),
];

const statistics = (shape: readonly number[]): SampleInput[] => batchNorm(shape).filter((_, i) => i !== 1 && i !== 2);

/** dY, X and four vectors of the channels. */
const gradientOf = (shape: readonly number[]): SampleInput[] => [
  tensor(shape),
  tensor(shape, [-2, 3]),
  ...[0, 1, 2, 3].map(() => tensor([shape[1] as number])),
];

export const samples: readonly Sample[] = [
  { op: "BatchNormalization", inputs: batchNorm([2, 3, 4, 5]), differentiate: [0, 1, 2] },
  // statistics that the model computes
  { op: "BatchNormalization", inputs: batchNorm([2, 3, 4]), differentiate: [3, 4] },
  {
    op: "BatchNormalization",
    inputs: batchNorm([4, 3]),
    attributes: { epsilon: float(0.1) },
    differentiate: [0, 1, 2],
  },
  {
    op: "BatchNormalization",
    inputs: batchNorm([3, 2, 4]),
    attributes: { training_mode: int(1), momentum: float(0.7) },
    outputs: 3,
    through: [0],
    differentiate: [0, 1, 2],
  },
  {
    op: "mutwo:BatchNormalization",
    inputs: batchNorm([2, 3, 2, 3]),
    outputs: 1,
    through: [0],
    differentiate: [0, 1, 2],
  },
  {
    op: "mutwo:BatchNormalization",
    inputs: batchNorm([5, 3]),
    attributes: { epsilon: float(0.01) },
    outputs: 5,
    through: [0],
    differentiate: [0, 1, 2],
  },
  { op: "mutwo:BatchNormalizationStatistics", inputs: statistics([5, 3, 2]), outputs: 4 },
  {
    op: "mutwo:BatchNormalizationStatistics",
    inputs: statistics([7, 2]),
    attributes: { epsilon: float(0.01), momentum: float(0.7) },
    outputs: 4,
    unwanted: [0, 1],
  },
  { op: "mutwo:BatchNormalizationStatistics", inputs: statistics([4, 3, 2, 3]), outputs: 4, unwanted: [0, 1] },
  { op: "mutwo:BatchNormalizationApply", inputs: batchNorm([2, 3, 4]) },
  { op: "mutwo:BatchNormalizationApply", inputs: batchNorm([2, 5, 3, 2]) },
  { op: "mutwo:BatchNormalizationApply", inputs: batchNorm([4, 3]) },
  { op: "mutwo:BatchNormalizationGradientSums", inputs: backwardInputs, outputs: 5 },
  { op: "mutwo:BatchNormalizationGradientSums", inputs: backwardInputs, outputs: 5, unwanted: [0, 1, 2] },
  { op: "mutwo:BatchNormalizationGradientApply", inputs: gradientOf([n, c, 4]) },
  { op: "mutwo:BatchNormalizationGradientApply", inputs: gradientOf([2, 3]) },
  { op: "mutwo:BatchNormalizationGradientApply", inputs: gradientOf([2, 3, 3, 2]) },
  { op: "mutwo:BatchNormalizationGradient", inputs: backwardInputs, outputs: 3 },
  { op: "mutwo:BatchNormalizationGradient", inputs: backwardInputs, outputs: 1 },
  {
    op: "LayerNormalization",
    inputs: [tensor([3, 6], [-2, 2]), tensor([6], [0.5, 1.5]), tensor([6])],
    differentiate: [0, 1, 2],
  },
  {
    op: "LayerNormalization",
    inputs: [tensor([2, 3, 4], [-2, 2]), tensor([3, 4], [0.5, 1.5])],
    attributes: { axis: int(-2), epsilon: float(0.01) },
    differentiate: [0, 1],
  },
  {
    op: "SimplifiedLayerNormalization",
    inputs: [tensor([3, 6], [-2, 2]), tensor([6], [0.5, 1.5])],
    differentiate: [0, 1],
  },
  {
    op: "SimplifiedLayerNormalization",
    inputs: [tensor([2, 3, 5], [-2, 2]), tensor([5], [0.5, 1.5])],
    attributes: { epsilon: float(0.01) },
    outputs: 2,
    through: [0],
    differentiate: [0, 1],
  },
  { op: "RMSNormalization", inputs: [tensor([3, 6], [-2, 2]), tensor([6], [0.5, 1.5])], differentiate: [0, 1] },
  {
    op: "RMSNormalization",
    inputs: [tensor([2, 3, 4], [-2, 2]), tensor([3, 4], [0.5, 1.5])],
    attributes: { axis: int(1) },
    differentiate: [0, 1],
  },
  {
    op: "com.microsoft:SkipLayerNormalization",
    inputs: [tensor([2, 3, 5], [-2, 2]), tensor([2, 3, 5]), tensor([5], [0.5, 1.5]), tensor([5]), tensor([5])],
    differentiate: [0, 1, 2, 3, 4],
  },
  {
    op: "com.microsoft:SkipLayerNormalization",
    inputs: [tensor([2, 3, 5], [-2, 2]), tensor([2, 3, 5]), tensor([5], [0.5, 1.5])],
    outputs: 4,
    unwanted: [1, 2],
    through: [0, 3],
    differentiate: [0, 1, 2],
  },
  {
    op: "com.microsoft:SkipSimplifiedLayerNormalization",
    inputs: [tensor([2, 3, 5], [-2, 2]), tensor([2, 3, 5]), tensor([5], [0.5, 1.5])],
    differentiate: [0, 1, 2],
  },
  {
    op: "com.microsoft:SkipSimplifiedLayerNormalization",
    inputs: [tensor([1, 3, 5], [-2, 2]), tensor([1, 3, 5]), tensor([5], [0.5, 1.5]), tensor([5])],
    outputs: 4,
    unwanted: [1, 2],
    through: [0, 3],
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "InstanceNormalization",
    inputs: [tensor([2, 3, 4], [-2, 2]), tensor([3], [0.5, 1.5]), tensor([3])],
    differentiate: [0, 1, 2],
  },
  {
    op: "InstanceNormalization",
    inputs: [tensor([1, 2, 3, 3], [-2, 2]), tensor([2], [0.5, 1.5]), tensor([2])],
    attributes: { epsilon: float(0.1) },
    differentiate: [0, 1, 2],
  },
  {
    op: "GroupNormalization",
    inputs: [tensor([2, 4, 3], [-2, 2]), tensor([4], [0.5, 1.5]), tensor([4])],
    attributes: { num_groups: int(2) },
    differentiate: [0, 1, 2],
  },
  {
    op: "GroupNormalization",
    inputs: [tensor([2, 6, 2, 2], [-2, 2]), tensor([3], [0.5, 1.5]), tensor([3])],
    attributes: { num_groups: int(3) },
    differentiate: [0, 1, 2],
  },
  { op: "LpNormalization", inputs: [tensor([3, 4])], differentiate: [0] },
  { op: "LpNormalization", inputs: [tensor([3, 4])], attributes: { p: int(1), axis: int(0) }, differentiate: [0] },
  { op: "MeanVarianceNormalization", inputs: [tensor([2, 3, 2, 2])], differentiate: [0] },
  { op: "MeanVarianceNormalization", inputs: [tensor([3, 5])], attributes: { axes: ints([-1]) }, differentiate: [0] },
];
