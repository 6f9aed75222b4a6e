import { type Attributes, float, int, ints, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor, vector } from "./sample.js";

const scales = (...values: readonly number[]): SampleInput => ({
  dtype: "float32",
  shape: [values.length],
  values,
  constant: true,
});

/** The same sample at each opset on its own. */
const at = (opsets: readonly number[], sample: Sample): Sample[] =>
  opsets.map((opset) => ({ ...sample, opsets: [opset] }));

const resize = (opset: number, attributes: Attributes, inputs: readonly (SampleInput | undefined)[]): Sample => ({
  op: "Resize",
  inputs: [tensor([1, 2, 3, 4]), ...inputs],
  attributes,
  opsets: [opset],
  differentiate: [0],
});

/** Ops in the forms that they had at other opsets than ours. */
export const opsets: readonly Sample[] = [
  // before opset 13: all axes from `axis`, 1 by default, are one
  ...["Softmax", "LogSoftmax", "Hardmax"].flatMap((op): Sample[] => {
    const differentiate = op === "Hardmax" ? [] : [0];
    return [
      { op, inputs: [tensor([2, 3, 4])], opsets: [11], differentiate },
      { op, inputs: [tensor([2, 3, 2])], attributes: { axis: int(0) }, opsets: [9], differentiate },
      { op, inputs: [tensor([2, 3, 2])], attributes: { axis: int(-1) }, opsets: [12], differentiate },
      { op, inputs: [tensor([2, 3])], opsets: [10], differentiate },
    ];
  }),
  { op: "TopK", inputs: [tensor([3, 5])], attributes: { k: int(2) }, outputs: 2, opsets: [9], differentiate: [0] },
  { op: "TopK", inputs: [tensor([5, 3]), vector(2)], attributes: { axis: int(0) }, outputs: 2, opsets: [10] },
  ...at([9, 11], {
    op: "ReduceSum",
    inputs: [tensor([2, 3, 2])],
    attributes: { axes: ints([0, 2]) },
    differentiate: [0],
  }),
  ...at([11, 13], { op: "ReduceMax", inputs: [tensor([2, 3])], attributes: { axes: ints([-2]), keepdims: int(0) } }),
  ...at([9, 13], {
    op: "ReduceLogSumExp",
    inputs: [tensor([2, 3])],
    attributes: { axes: ints([1]) },
    differentiate: [0],
  }),
  { op: "ArgMax", inputs: [{ shape: [2, 3], values: [1, 3, 3, 2, 2, 0] }], attributes: { axis: int(1) }, opsets: [11] },
  {
    op: "ArgMin",
    inputs: [{ shape: [2, 3], values: [1, 1, 3, 2, 0, 0] }],
    attributes: { axis: int(-1), select_last_index: int(1) },
    opsets: [13],
  },
  ...at([7, 9], {
    op: "BatchNormalization",
    inputs: [tensor([2, 3, 4]), tensor([3], [0.5, 1.5]), tensor([3]), tensor([3]), tensor([3], [0.5, 2])],
    differentiate: [0, 1, 2],
  }),
  ...at([7, 11], { op: "Dropout", inputs: [tensor([2, 3])], attributes: { ratio: float(0.4) }, differentiate: [0] }),
  { op: "Dropout", inputs: [tensor([2, 3])], opsets: [22], differentiate: [0] },
  ...at([6, 10], { op: "Clip", inputs: [tensor([2, 3])], attributes: { max: float(0.3) }, differentiate: [0] }),
  { op: "Cast", inputs: [tensor([2, 3])], attributes: { to: int(11), saturate: int(1) }, opsets: [19] },
  { op: "Gemm", inputs: [tensor([2, 3]), tensor([3, 2]), tensor([2])], opsets: [9], differentiate: [0, 1, 2] },
  { op: "Flatten", inputs: [tensor([2, 3, 2])], attributes: { axis: int(2) }, opsets: [9], differentiate: [0] },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 7, 6])],
    attributes: { kernel_shape: ints([2, 2]), dilations: ints([2, 1]), strides: ints([2, 3]) },
    opsets: [19],
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 7, 6])],
    attributes: { kernel_shape: ints([2, 2]), dilations: ints([1, 1]) },
    opsets: [19],
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 5, 6])],
    attributes: { kernel_shape: ints([2, 3]), pads: ints([0, 1, 1, 0]) },
    opsets: [7],
    differentiate: [0],
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 2, 5, 6])],
    attributes: { kernel_shape: ints([2, 3]), strides: ints([1, 2]) },
    opsets: [8],
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "GroupNormalization",
    inputs: [tensor([2, 6, 2], [-2, 2]), tensor([2], [0.5, 1.5]), tensor([2])],
    attributes: { num_groups: int(2) },
    opsets: [18],
    differentiate: [0, 1, 2],
  },
  {
    op: "GroupNormalization",
    inputs: [tensor([2, 6, 2], [-2, 2]), tensor([6], [0.5, 1.5]), tensor([6])],
    attributes: { num_groups: int(2) },
    opsets: [21],
    differentiate: [0, 1, 2],
  },
  ...[undefined, "constant", "edge"].map(
    (mode): Sample => ({
      op: "Pad",
      inputs: [tensor([2, 3])],
      attributes: { pads: ints([0, 1, 2, 0]), value: float(1.5), ...(mode ? { mode: text(mode) } : {}) },
      opsets: [10],
      differentiate: [0],
    }),
  ),
  { op: "Pad", inputs: [tensor([2, 3])], attributes: { pads: ints([1, 0, 0, 1]) }, opsets: [7], differentiate: [0] },
  ...["SAME_UPPER", "SAME_LOWER"].flatMap((auto_pad): Sample[] => {
    const attributes = { auto_pad: text(auto_pad), kernel_shape: ints([2, 3]), strides: ints([2, 2]) };
    const image = tensor([1, 2, 5, 6]);
    return [
      { op: "AveragePool", inputs: [image], attributes, opsets: [7], differentiate: [0] },
      {
        op: "AveragePool",
        inputs: [image],
        attributes: { ...attributes, count_include_pad: int(1) },
        opsets: [10],
        differentiate: [0],
      },
      { op: "LpPool", inputs: [image], attributes, opsets: [11], differentiate: [0] },
      { op: "MaxPool", inputs: [image], attributes, opsets: [8], differentiate: [0], step: 1e-4 },
      {
        op: "Conv",
        inputs: [image, tensor([3, 2, 2, 3])],
        attributes: { auto_pad: text(auto_pad), strides: ints([2, 2]) },
        opsets: [7],
        differentiate: [0, 1],
      },
    ];
  }),
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 2, 3, 3]), tensor([2, 2, 2, 2]), tensor([2])],
    attributes: { output_shape: ints([7, 5]), strides: ints([2, 2]) },
    opsets: [11],
    differentiate: [0, 1, 2],
  },
  {
    op: "Upsample",
    inputs: [tensor([1, 2, 3, 4])],
    attributes: { scales: { type: "floats", value: [1, 1, 2, 2] } },
    opsets: [7],
    differentiate: [0],
  },
  {
    op: "Upsample",
    inputs: [tensor([1, 2, 3, 4]), scales(1, 1, 2, 1.5)],
    attributes: { mode: text("linear") },
    opsets: [9],
    differentiate: [0],
  },
  ...at([11, 12], { op: "Pad", inputs: [tensor([2, 3]), vector(0, 1, 2, 0)], differentiate: [0] }),
  {
    op: "Pad",
    inputs: [tensor([2, 3, 4]), vector(1, 2), undefined, vector(-1)],
    attributes: { mode: text("reflect") },
    opsets: [18],
    differentiate: [0],
  },
  {
    op: "Pad",
    inputs: [tensor([2, 4]), vector(1, 2, 0, 1)],
    attributes: { mode: text("wrap") },
    opsets: [19],
    differentiate: [0],
  },
  resize(11, { mode: text("linear") }, [scales(), scales(1, 1, 2, 1.5)]),
  resize(11, { coordinate_transformation_mode: text("asymmetric"), nearest_mode: text("floor") }, [
    scales(),
    scales(1, 1, 2, 2),
  ]),
  resize(11, { coordinate_transformation_mode: text("tf_half_pixel_for_nn") }, [scales(), scales(1, 1, 2, 2)]),
  resize(13, { mode: text("linear"), coordinate_transformation_mode: text("pytorch_half_pixel") }, [
    undefined,
    undefined,
    vector(1, 2, 5, 1),
  ]),
  resize(18, { mode: text("linear"), axes: ints([3, 2]), antialias: int(1) }, [undefined, scales(0.5, 1.7)]),
  resize(19, { mode: text("linear"), coordinate_transformation_mode: text("half_pixel_symmetric") }, [
    undefined,
    scales(1, 1, 1.4, 1.6),
  ]),
  {
    op: "Resize",
    inputs: [tensor([1, 1, 4, 6]), scales(0, 0, 0.25, 0.1, 1, 1, 0.75, 0.7), scales(1, 1, 1.6, 2)],
    attributes: { mode: text("linear"), coordinate_transformation_mode: text("tf_crop_and_resize") },
    opsets: [13],
  },
  {
    op: "Resize",
    inputs: [tensor([1, 2, 3, 4]), undefined, undefined, vector(6, 6)],
    attributes: { mode: text("cubic"), axes: ints([2, 3]), keep_aspect_ratio_policy: text("not_larger") },
    opsets: [18],
  },
  { op: "Gelu", inputs: [tensor([2, 3])], attributes: { approximate: text("tanh") }, opsets: [20], differentiate: [0] },
  ...at([9, 11], {
    op: "OneHot",
    inputs: [
      { dtype: "int64", shape: [3], values: [0, 2, 1] },
      { dtype: "int64", shape: [1], values: [3], constant: true },
      { shape: [2], values: [0, 1] },
    ],
  }),
  { op: "Unsqueeze", inputs: [tensor([2, 3])], attributes: { axes: ints([2, 0]) }, opsets: [9], differentiate: [0] },
  { op: "Squeeze", inputs: [tensor([1, 3, 1])], attributes: { axes: ints([-1]) }, opsets: [11], differentiate: [0] },
  { op: "Reshape", inputs: [tensor([2, 3]), vector(0, -1)], opsets: [9], differentiate: [0] },
  { op: "Max", inputs: [tensor([2, 3]), tensor([3])], opsets: [9], differentiate: [0, 1] },
  ...at([9, 12], { op: "Min", inputs: [tensor([2, 3])], differentiate: [0] }),
  { op: "Mod", inputs: [tensor([2, 3], [1, 5]), tensor([3], [0.7, 2])], attributes: { fmod: int(1) }, opsets: [10] },
  ...at([7, 12], { op: "Pow", inputs: [tensor([2, 3], [0.5, 2]), tensor([3], [1, 2])], differentiate: [0, 1] }),
  {
    op: "Constant",
    inputs: [],
    attributes: {
      value: { type: "tensor", value: { dtype: "float32", shape: [], data: new Uint8Array([0, 0, 128, 63]) } },
    },
    opsets: [9],
  },
];
