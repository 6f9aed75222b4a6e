import { float, int } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const scalar = (value: number): SampleInput => ({ shape: [], values: [value], constant: true });

/** Two samples of an op on one tensor: a plain one and one of odd rank 4 or of rank 0. */
const smooth = (op: string, range: readonly [number, number] = [-1, 1]): Sample[] => [
  { op, inputs: [tensor([4, 6], range)], differentiate: [0] },
  { op, inputs: [tensor([3, 1, 5, 1], range)], differentiate: [0] },
  // long enough for vectorised blocks with a rest
  { op, inputs: [tensor([5, 1031], range)] },
];

const steps = (op: string): Sample[] => [
  { op, inputs: [tensor([4, 6], [-3, 3])] },
  { op, inputs: [tensor([7], [-300, 300])] },
];

const bools = (shape: readonly number[]): SampleInput => ({
  dtype: "bool",
  shape,
  values: Array.from({ length: shape.reduce((p, n) => p * n, 1) }, (_, i) => Number(i % 3 === 0)),
});

const pairs = (
  op: string,
  a: readonly [number, number] = [-1, 1],
  b: readonly [number, number] = [-1, 1],
): Sample[] => [
  { op, inputs: [tensor([3, 4], a), tensor([3, 4], b)], differentiate: [0, 1] },
  { op, inputs: [tensor([2, 1, 4], a), tensor([3, 1], b)], differentiate: [0, 1] },
  { op, inputs: [tensor([], a), tensor([1, 5], b)], differentiate: [0, 1] },
];

const comparisons = (op: string): Sample[] => [
  { op, inputs: [tensor([3, 4]), tensor([3, 4])] },
  { op, inputs: [tensor([2, 1, 4]), tensor([3, 1])] },
];

const logic = (op: string): Sample[] => [
  { op, inputs: [bools([3, 4]), bools([3, 4])] },
  { op, inputs: [bools([2, 1, 4]), bools([3, 1])] },
];

export const samples: readonly Sample[] = [
  ...smooth("Abs"),
  ...smooth("Neg"),
  ...smooth("Exp"),
  ...smooth("Log", [0.5, 2]),
  ...smooth("Sqrt", [0.5, 2]),
  ...smooth("Reciprocal", [0.6, 2]),
  ...smooth("Sin", [-3, 3]),
  ...smooth("Cos", [-3, 3]),
  ...smooth("Tan"),
  ...smooth("Sinh"),
  ...smooth("Cosh"),
  ...smooth("Asin", [-0.8, 0.8]),
  ...smooth("Acos", [-0.8, 0.8]),
  ...smooth("Atan", [-2, 2]),
  ...smooth("Asinh", [-2, 2]),
  ...smooth("Acosh", [1.3, 3]),
  ...smooth("Atanh", [-0.7, 0.7]),
  ...smooth("Erf", [-2, 2]),
  ...["Sign", "Floor", "Ceil", "Round"].flatMap(steps),
  { op: "Not", inputs: [bools([3, 4])] },
  { op: "Not", inputs: [bools([])] },
  { op: "IsNaN", inputs: [{ shape: [3], values: [1, Number.NaN, Number.POSITIVE_INFINITY] }] },
  { op: "IsNaN", inputs: [tensor([2, 1, 3])] },
  { op: "IsInf", inputs: [{ shape: [3], values: [1, Number.NEGATIVE_INFINITY, Number.NaN] }] },
  { op: "IsInf", inputs: [tensor([2, 1, 3])], attributes: { detect_negative: int(0) } },

  ...pairs("Add"),
  ...pairs("Sub"),
  ...pairs("Mul"),
  ...pairs("Div", [-1, 1], [0.6, 2]),
  ...pairs("Pow", [0.5, 2], [-1, 2]),
  { op: "Pow", inputs: [tensor([2, 5]), scalar(2)], differentiate: [0] },
  { op: "Pow", inputs: [tensor([2, 5]), scalar(3)], differentiate: [0] },
  { op: "Pow", inputs: [tensor([2, 5], [0.5, 2]), scalar(-0.5)], differentiate: [0] },
  {
    op: "Add",
    inputs: [
      { dtype: "int64", shape: [2, 3], range: [-5, 5] },
      { dtype: "int64", shape: [3], range: [0, 9] },
    ],
  },
  {
    op: "Mod",
    inputs: [tensor([3, 4], [1.1, 1.4]), tensor([4], [0.75, 1])],
    attributes: { fmod: int(1) },
    differentiate: [0],
  },
  {
    op: "Mod",
    inputs: [
      { shape: [3, 1], values: [-1.3, 0.7, 2.6] },
      { shape: [2], values: [0.8, 1.1] },
    ],
    attributes: { fmod: int(1) },
    differentiate: [0, 1],
  },
  {
    op: "Mod",
    inputs: [
      { dtype: "int64", shape: [2, 3], range: [-9, 9] },
      { dtype: "int64", shape: [1], values: [4] },
    ],
  },
  ...["And", "Or", "Xor"].flatMap(logic),
  ...["Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"].flatMap(comparisons),
  {
    op: "Equal",
    inputs: [
      { dtype: "int64", shape: [2, 3], range: [0, 3] },
      { dtype: "int64", shape: [3], range: [0, 3] },
    ],
  },
  ...["Max", "Min"].flatMap((op): Sample[] => [
    { op, inputs: [tensor([3, 4]), tensor([3, 4], [-0.93, 1.04])], differentiate: [0, 1] },
    { op, inputs: [tensor([2, 3, 1]), tensor([4], [-0.9, 1.1]), tensor([1, 1], [-0.2, 0])], differentiate: [0, 1, 2] },
    { op, inputs: [tensor([5])], differentiate: [0] },
  ]),
  ...["Sum", "Mean"].flatMap((op): Sample[] => [
    { op, inputs: [tensor([3, 4]), tensor([3, 4])], differentiate: [0, 1] },
    { op, inputs: [tensor([2, 3, 1]), tensor([4]), tensor([1, 1])], differentiate: [0, 1, 2] },
  ]),
  { op: "Where", inputs: [bools([3, 4]), tensor([3, 4]), tensor([3, 4])], differentiate: [1, 2] },
  { op: "Where", inputs: [bools([2, 3, 1]), tensor([4]), tensor([3, 1])], differentiate: [1, 2] },
  { op: "Where", inputs: [bools([2, 3]), scalar(1), tensor([1])], differentiate: [2] },
  { op: "Clip", inputs: [tensor([4, 6]), scalar(-0.52), scalar(0.31)], differentiate: [0] },
  { op: "Clip", inputs: [tensor([3, 5]), undefined, scalar(0.31)], differentiate: [0] },
  { op: "Clip", inputs: [tensor([3, 5]), scalar(0)], differentiate: [0] },
  { op: "Clip", inputs: [tensor([3, 5])], differentiate: [0] },
  // bounds that are computed or trained
  {
    op: "Clip",
    inputs: [tensor([4, 6]), { shape: [], values: [-0.52] }, { shape: [], values: [0.31] }],
    differentiate: [0, 1, 2],
  },
  { op: "Clip", inputs: [tensor([3, 5]), { shape: [], values: [0.12] }], differentiate: [0, 1] },
  { op: "Clip", inputs: [tensor([3, 5]), undefined, { shape: [], values: [0.12] }], differentiate: [2] },
  // bounds that cross: all of Y is the upper one
  {
    op: "Clip",
    inputs: [tensor([3, 5]), { shape: [], values: [0.41] }, { shape: [], values: [-0.31] }],
    differentiate: [1, 2],
  },
  // the bounds as attributes, as before opset 11
  {
    op: "Clip",
    inputs: [tensor([3, 5])],
    attributes: { min: float(-0.5), max: float(0.31) },
    differentiate: [0],
    opsets: [10],
  },
  { op: "Cast", inputs: [tensor([2, 3])], attributes: { to: int(11) }, differentiate: [0] },
  { op: "Cast", inputs: [tensor([2, 3], [-9, 9])], attributes: { to: int(7) } },
  { op: "Cast", inputs: [{ dtype: "bool", shape: [], values: [1] }], attributes: { to: int(1) } },
  { op: "CastLike", inputs: [tensor([2, 3]), { dtype: "float64", shape: [1], values: [0] }], differentiate: [0] },
  { op: "CastLike", inputs: [{ dtype: "int64", shape: [3], range: [0, 5] }, tensor([])] },
  ...smooth("Identity"),
];

export const activations: readonly Sample[] = [
  ...smooth("Relu"),
  ...smooth("LeakyRelu"),
  { op: "LeakyRelu", inputs: [tensor([2, 7])], attributes: { alpha: float(-0.3) }, differentiate: [0] },
  { op: "PRelu", inputs: [tensor([2, 3, 4]), tensor([3, 1], [0.1, 0.5])], differentiate: [0, 1] },
  { op: "PRelu", inputs: [tensor([2, 3]), tensor([2, 3])], differentiate: [0, 1] },
  ...smooth("Elu"),
  { op: "Elu", inputs: [tensor([2, 7])], attributes: { alpha: float(0.4) }, differentiate: [0] },
  ...smooth("Selu"),
  { op: "Selu", inputs: [tensor([2, 7])], attributes: { alpha: float(1.1), gamma: float(0.7) }, differentiate: [0] },
  ...smooth("Celu"),
  { op: "Celu", inputs: [tensor([2, 7])], attributes: { alpha: float(0.4) }, differentiate: [0] },
  { op: "ThresholdedRelu", inputs: [tensor([4, 6], [-2, 2])], differentiate: [0] },
  { op: "ThresholdedRelu", inputs: [tensor([7])], attributes: { alpha: float(-0.53) }, differentiate: [0] },
  // the kernel computes in float32 throughout: steps are large, and keep away from the kinks
  {
    op: "Shrink",
    inputs: [{ shape: [2, 3], values: [-1.5, -1, -0.2, 0.1, 0.9, 1.5] }],
    differentiate: [0],
    step: 0.1,
  },
  {
    op: "Shrink",
    inputs: [{ shape: [3], values: [-1, 0.05, 0.7] }],
    attributes: { bias: float(0.2), lambd: float(0.3) },
    differentiate: [0],
    step: 0.1,
  },
  ...smooth("Sigmoid", [-4, 4]),
  ...smooth("HardSigmoid", [-4, 4]),
  { op: "HardSigmoid", inputs: [tensor([9])], attributes: { alpha: float(0.9), beta: float(0.4) }, differentiate: [0] },
  ...smooth("HardSwish", [-5, 5]),
  ...smooth("Softplus", [-4, 4]),
  ...smooth("Softsign", [-4, 4]),
  ...smooth("Tanh", [-2, 2]),
  ...smooth("Mish", [-3, 3]),
  ...smooth("Gelu", [-3, 3]),
  {
    op: "Gelu",
    inputs: [tensor([2, 9], [-3, 3])],
    attributes: { approximate: { type: "string", value: "tanh" } },
    differentiate: [0],
  },
  ...smooth("com.microsoft:Gelu", [-3, 3]),
  { op: "com.microsoft:FastGelu", inputs: [tensor([2, 9], [-3, 3])], differentiate: [0] },
  { op: "com.microsoft:FastGelu", inputs: [tensor([2, 3, 4], [-3, 3]), tensor([4])], differentiate: [0, 1] },
  { op: "com.microsoft:BiasGelu", inputs: [tensor([2, 4], [-3, 3]), tensor([4])], differentiate: [0, 1] },
  { op: "com.microsoft:BiasGelu", inputs: [tensor([2, 3, 5], [-3, 3]), tensor([5])], differentiate: [0, 1] },
  ...smooth("com.microsoft:QuickGelu", [-3, 3]),
  { op: "com.microsoft:QuickGelu", inputs: [tensor([5])], attributes: { alpha: float(1) }, differentiate: [0] },
];

const on: SampleInput = { dtype: "bool", shape: [], values: [1], constant: true };

const off: SampleInput = { dtype: "bool", shape: [], values: [0], constant: true };

export const draws: readonly Sample[] = [
  { op: "Dropout", inputs: [tensor([4, 5]), scalar(0.4), on], outputs: 2, random: true },
  { op: "Dropout", inputs: [tensor([4, 5]), undefined, on], random: true },
  { op: "Dropout", inputs: [tensor([4, 5]), scalar(0.4), off], random: true },
  {
    op: "Dropout",
    inputs: [tensor([4, 5])],
    attributes: { ratio: float(0.3) },
    outputs: 2,
    opsets: [10],
    random: true,
  },
  { op: "RandomNormalLike", inputs: [tensor([3, 2])], random: true },
  { op: "RandomNormalLike", inputs: [tensor([3, 2])], attributes: { dtype: int(11) }, random: true },
  { op: "RandomUniformLike", inputs: [tensor([3, 2])], attributes: { low: float(2), high: float(3) }, random: true },
  {
    op: "RandomUniformLike",
    inputs: [{ dtype: "int64", shape: [2], values: [1, 2] }],
    attributes: { dtype: int(1) },
    random: true,
  },
  { op: "RandomNormal", inputs: [], attributes: { shape: { type: "ints", value: [2, 3] } }, random: true },
  { op: "RandomNormal", inputs: [], attributes: { shape: { type: "ints", value: [4] }, dtype: int(11) }, random: true },
  { op: "RandomUniform", inputs: [], attributes: { shape: { type: "ints", value: [2, 3] } }, random: true },
  { op: "RandomUniform", inputs: [], attributes: { shape: { type: "ints", value: [] } }, random: true },
  { op: "Bernoulli", inputs: [tensor([3, 4], [0, 1])], random: true },
  { op: "Bernoulli", inputs: [tensor([3, 4], [0, 1])], attributes: { dtype: int(9) }, random: true },
];
