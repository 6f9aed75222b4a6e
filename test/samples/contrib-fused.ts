import { type Attributes, float, int, ints, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const fusedConv = (
  activation: string,
  parameters: readonly number[] = [],
  more: Partial<Sample> = {},
  bends: readonly number[] = [1, -1, 0.9],
): Sample => ({
  op: "com.microsoft:FusedConv",
  // one channel of the output above, one below and one between the bends that these functions may have
  inputs: [tensor([1, 2, 4, 3]), tensor([3, 2, 2, 2], [-0.04, 0.04]), { shape: [3], values: bends }],
  differentiate: [0, 1, 2],
  ...more,
  attributes: {
    ...(activation ? { activation: text(activation) } : {}),
    ...(parameters.length ? { activation_params: { type: "floats", value: parameters } } : {}),
    ...more.attributes,
  },
});

const fusedGemm = (activation: string, attributes: Attributes = {}): Sample => ({
  op: "com.microsoft:FusedGemm",
  inputs: [tensor([3, 4]), tensor([4, 2]), tensor([2])],
  attributes: { activation: text(activation), ...attributes },
  differentiate: [0, 1, 2],
});

const ids = (dtype: "int32" | "int64", shape: readonly number[], ...values: readonly number[]): SampleInput => ({
  dtype,
  shape,
  values,
});

const words = ids("int32", [2, 3], 0, 4, 2, 4, 4, 1);

const tables = [tensor([5, 4]), tensor([6, 4])];

const affine = [tensor([4], [0.5, 1.5]), tensor([4])];

/** A table of one segment: what it holds is added to every sum, and it has no gradient where rows are centred. */
const segments = ids("int32", [2, 3], 0, 1, 1, 0, 0, 1);

export const contribFused: readonly Sample[] = [
  fusedConv("Relu"),
  fusedConv("Tanh", [], { attributes: { pads: ints([1, 0, 0, 1]), strides: ints([2, 1]) } }),
  fusedConv("Sigmoid", [], {
    inputs: [tensor([2, 4, 5]), tensor([2, 2, 2])],
    differentiate: [0, 1],
    attributes: { group: int(2) },
  }),
  fusedConv("LeakyRelu", [0.2]),
  fusedConv("Clip", [-0.4, 0.5], {}, [1, -1, 0]),
  fusedConv("HardSigmoid", [0.3, 0.4], {}, [2.5, -3, 0]),
  fusedConv("", [], { inputs: [tensor([1, 2, 4, 3]), tensor([3, 2, 2, 2])], differentiate: [0, 1] }),
  // added before the activation; a bias that is not there
  fusedConv("Relu", [], {
    inputs: [
      tensor([1, 2, 4, 3]),
      tensor([3, 2, 2, 2], [-0.04, 0.04]),
      { shape: [3], values: [1, -1, 0.9] },
      tensor([1, 3, 3, 2], [-0.4, 0.4]),
    ],
    differentiate: [0, 1, 2, 3],
  }),
  fusedConv("Tanh", [], {
    inputs: [tensor([1, 2, 4, 3]), tensor([3, 2, 3, 3]), undefined, tensor([1, 3, 4, 3])],
    differentiate: [0, 1, 3],
    attributes: { auto_pad: text("SAME_UPPER"), dilations: ints([1, 1]) },
  }),
  {
    op: "com.microsoft:NhwcConv",
    inputs: [tensor([2, 4, 3, 2]), tensor([3, 2, 2, 2]), tensor([3])],
    attributes: { pads: ints([1, 0, 0, 1]), strides: ints([2, 1]) },
    differentiate: [0, 1, 2],
    elsewhere: true,
  },
  {
    op: "com.microsoft:NhwcConv",
    inputs: [tensor([1, 4, 3, 4]), tensor([2, 2, 2, 2])],
    attributes: { group: int(2) },
    differentiate: [0, 1],
    elsewhere: true,
  },
  fusedGemm("Relu"),
  fusedGemm("Sigmoid", { alpha: float(0.5), beta: float(2) }),
  fusedGemm("LeakyRelu", { activation_alpha: float(0.3) }),
  fusedGemm("Elu", { activation_alpha: float(0.7) }),
  fusedGemm("Selu", { activation_alpha: float(1.6), activation_gamma: float(1.05) }),
  fusedGemm("HardSigmoid", { activation_alpha: float(0.3), activation_beta: float(0.4) }),
  fusedGemm("ThresholdedRelu", { activation_alpha: float(0.3) }),
  fusedGemm("Softplus"),
  ...["ParametricSoftplus", "ScaledTanh"].map((activation) =>
    fusedGemm(activation, { activation_alpha: float(0.6), activation_beta: float(1.4) }),
  ),
  {
    op: "com.microsoft:FusedGemm",
    inputs: [tensor([4, 3]), tensor([2, 4])],
    attributes: { activation: text("Tanh"), transA: int(1), transB: int(1) },
    differentiate: [0, 1],
  },
  ...["FusedMatMul", "TransposeMatMul"].map(
    (op): Sample => ({
      op: `com.microsoft:${op}`,
      inputs: [tensor([2, 4, 3]), tensor([2, 5, 4])],
      attributes: { transA: int(1), transB: int(1), alpha: float(0.5) },
      differentiate: [0, 1],
    }),
  ),
  {
    op: "com.microsoft:TransposeMatMul",
    inputs: [tensor([3, 4]), tensor([4, 2])],
    differentiate: [0, 1],
  },
  // the first axis of an operand stands behind its batch
  ...[0, 1].flatMap((trans): Sample[] => [
    {
      op: "com.microsoft:FusedMatMul",
      inputs: [trans ? tensor([4, 2, 3, 5]) : tensor([5, 2, 3, 4]), tensor([2, 3, 4, 2])],
      attributes: { transBatchA: int(1), transA: int(trans) },
      differentiate: [0, 1],
    },
    {
      op: "com.microsoft:FusedMatMul",
      inputs: [trans ? tensor([4, 2, 5]) : tensor([5, 2, 4]), trans ? tensor([3, 2, 4]) : tensor([4, 2, 3])],
      attributes: {
        transBatchA: int(1),
        transBatchB: int(1),
        transA: int(trans),
        transB: int(trans),
        alpha: float(0.5),
      },
      differentiate: [0, 1],
    },
  ]),
  ...["Relu", "LeakyRelu"].map(
    (activation): Sample => ({
      op: "com.microsoft:FusedMatMulActivation",
      inputs: [tensor([2, 3, 4]), tensor([2, 5, 4])],
      attributes: { transB: int(1), alpha: float(2), activation: text(activation), activation_alpha: float(0.2) },
      differentiate: [0, 1],
      elsewhere: true,
    }),
  ),
  {
    op: "com.microsoft:GemmFastGelu",
    inputs: [tensor([2, 3, 4]), tensor([4, 2]), tensor([2])],
    differentiate: [0, 1, 2],
    elsewhere: true,
  },
  {
    op: "com.microsoft:GemmFastGelu",
    inputs: [tensor([3, 4]), tensor([4, 2])],
    differentiate: [0, 1],
    elsewhere: true,
  },
  ...[
    [2, 3, 4],
    [1, 2, 8],
  ].map(
    (shape): Sample => ({
      op: "com.microsoft:BiasSplitGelu",
      inputs: [tensor(shape), tensor([shape[2] as number])],
      differentiate: [0, 1],
      elsewhere: true,
    }),
  ),
  ...[
    [2, 3, 4],
    [1, 2, 3],
  ].map(
    (shape): Sample => ({
      op: "com.microsoft:BiasAdd",
      inputs: [tensor(shape), tensor([shape[2] as number]), tensor(shape)],
      differentiate: [0, 1, 2],
      elsewhere: true,
    }),
  ),
  {
    op: "com.microsoft:BiasSoftmax",
    inputs: [tensor([2, 2, 3]), tensor([2, 1, 3])],
    attributes: { axis: int(2), is_inner_broadcast: int(1) },
    differentiate: [0, 1],
    elsewhere: true,
  },
  {
    op: "com.microsoft:BiasSoftmax",
    inputs: [tensor([2, 2, 3]), tensor([1, 2, 3])],
    attributes: { axis: int(1), is_inner_broadcast: int(0) },
    differentiate: [0, 1],
    elsewhere: true,
  },
  { op: "Swish", inputs: [tensor([2, 3])], opsets: [24], differentiate: [0] },
  { op: "Swish", inputs: [tensor([2, 3])], attributes: { alpha: float(0.6) }, opsets: [24], differentiate: [0] },
  {
    op: "com.microsoft:EmbedLayerNormalization",
    inputs: [words, segments, ...tables, tensor([2, 4]), ...affine, ids("int32", [2, 3], 1, 1, 0, 1, 0, 0)],
    outputs: 3,
    attributes: { epsilon: float(1e-3) },
    differentiate: [2, 3, 4, 5, 6],
  },
  {
    op: "com.microsoft:EmbedLayerNormalization",
    inputs: [words, undefined, ...tables, undefined, ...affine],
    outputs: 2,
    attributes: { epsilon: float(1e-3) },
    differentiate: [2, 3, 5, 6],
  },
  ...[1, 2].map(
    (batch): Sample => ({
      op: "com.microsoft:EmbedLayerNormalization",
      inputs: [
        words,
        segments,
        ...tables,
        tensor([2, 4]),
        ...affine,
        undefined,
        ids("int32", [batch, 3], ...[5, 0, 3, 1, 1, 2].slice(0, 3 * batch)),
      ],
      outputs: 3,
      unwanted: [2],
      attributes: { epsilon: float(1e-3) },
      differentiate: [2, 3, 4, 5, 6],
    }),
  ),
  ...[0, 1].map(
    (activation): Sample => ({
      op: "com.microsoft:GroupNorm",
      inputs: [tensor([2, 3, 2, 4], [-2, 2]), tensor([4], [0.5, 1.5]), tensor([4])],
      attributes: { groups: int(2), activation: int(activation), epsilon: float(1e-3) },
      differentiate: [0, 1, 2],
      elsewhere: true,
    }),
  ),
  {
    op: "com.microsoft:GroupNorm",
    inputs: [tensor([2, 4, 3, 2], [-2, 2]), tensor([4], [0.5, 1.5]), tensor([4])],
    attributes: { groups: int(2), activation: int(1), channels_last: int(0), epsilon: float(1e-3) },
    differentiate: [0, 1, 2],
    elsewhere: true,
  },
  ...[
    [2, 3, 2, 4],
    [2, 4],
    [2, 1, 1, 4],
  ].map(
    (skip): Sample => ({
      op: "com.microsoft:SkipGroupNorm",
      inputs: [tensor([2, 3, 2, 4], [-2, 2]), tensor([4], [0.5, 1.5]), tensor([4]), tensor(skip), tensor([4])],
      attributes: { groups: int(2), activation: int(1), epsilon: float(1e-3) },
      outputs: 2,
      differentiate: [0, 1, 2, 3, 4],
      elsewhere: true,
    }),
  ),
];
