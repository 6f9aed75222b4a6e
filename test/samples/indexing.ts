import { int, ints, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor, vector } from "./sample.js";

const indices = (shape: readonly number[], values: readonly number[]): SampleInput => ({
  dtype: "int64",
  shape,
  values,
});

const scalar = (value: number): SampleInput => ({ dtype: "int64", shape: [], values: [value], constant: true });

export const indexing: readonly Sample[] = [
  { op: "Gather", inputs: [tensor([5, 3]), indices([2, 2], [0, 4, 4, -1])], differentiate: [0] },
  {
    op: "Gather",
    inputs: [tensor([2, 5, 3]), indices([3], [1, 1, 4])],
    attributes: { axis: int(-2) },
    differentiate: [0],
  },
  { op: "Gather", inputs: [tensor([4]), indices([], [2])], differentiate: [0] },
  { op: "GatherElements", inputs: [tensor([3, 2]), indices([2, 2], [0, 2, 1, 1])], differentiate: [0] },
  {
    op: "GatherElements",
    inputs: [tensor([2, 4]), indices([2, 3], [0, 0, 3, 1, -1, 2])],
    attributes: { axis: int(-1) },
    differentiate: [0],
  },
  { op: "ScatterElements", inputs: [tensor([3, 2]), indices([1, 2], [2, 0]), tensor([1, 2])], differentiate: [0, 2] },
  {
    op: "ScatterElements",
    inputs: [tensor([2, 4]), indices([2, 3], [0, 0, 3, 1, 1, 2]), tensor([2, 3])],
    attributes: { axis: int(1), reduction: text("add") },
    differentiate: [0, 2],
  },
  { op: "GatherND", inputs: [tensor([3, 4]), indices([2, 2], [0, 1, 2, 3])], differentiate: [0] },
  { op: "GatherND", inputs: [tensor([3, 4]), indices([3, 1], [2, 0, 2])], differentiate: [0] },
  {
    op: "GatherND",
    inputs: [tensor([2, 3, 4]), indices([2, 2, 1], [2, 0, 1, 1])],
    attributes: { batch_dims: int(1) },
    differentiate: [0],
  },
  {
    op: "GatherND",
    inputs: [tensor([2, 2, 3, 2]), indices([2, 2, 1], [2, 0, -1, 1])],
    attributes: { batch_dims: int(2) },
    differentiate: [0],
  },
  { op: "ScatterND", inputs: [tensor([4, 3]), indices([2, 1], [3, 0]), tensor([2, 3])], differentiate: [0, 2] },
  {
    op: "ScatterND",
    inputs: [tensor([4]), indices([3, 1], [1, 1, 2]), tensor([3])],
    attributes: { reduction: text("add") },
    differentiate: [0, 2],
  },
  { op: "OneHot", inputs: [indices([3], [0, 2, 1]), scalar(4), { shape: [2], values: [0, 1] }] },
  {
    op: "OneHot",
    inputs: [indices([2, 2], [0, 1, 1, 2]), scalar(3), { shape: [2], values: [-1, 2] }],
    attributes: { axis: int(0) },
  },
  { op: "Shape", inputs: [tensor([2, 3, 4])] },
  { op: "Shape", inputs: [tensor([2, 3, 4])], attributes: { start: int(-2), end: int(3) } },
  { op: "Size", inputs: [tensor([2, 3, 4])] },
  { op: "Size", inputs: [tensor([])] },
  { op: "Constant", inputs: [], attributes: { value_ints: ints([1, -2, 3]) } },
  { op: "Constant", inputs: [], attributes: { value_int: int(7) } },
  { op: "ConstantOfShape", inputs: [vector(2, 3)] },
  {
    op: "ConstantOfShape",
    inputs: [vector(3)],
    attributes: {
      value: { type: "tensor", value: { dtype: "int64", shape: [1], data: new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0]) } },
    },
  },
  { op: "Range", inputs: [scalar(1), scalar(8), scalar(3)] },
  { op: "Range", inputs: [scalar(5), scalar(-2), scalar(-2)] },
  {
    op: "Gather",
    inputs: [tensor([2, 3, 4]), indices([2, 1], [-1, 0])],
    attributes: { axis: int(2) },
    differentiate: [0],
  },
  {
    op: "Gather",
    inputs: [tensor([2, 3]), { dtype: "int32", shape: [2], values: [2, 2] }],
    attributes: { axis: int(1) },
    differentiate: [0],
  },
  {
    op: "Gather",
    inputs: [tensor([5, 3]), { dtype: "int32", shape: [2, 2], values: [0, 4, 4, -1] }],
    differentiate: [0],
  },
  {
    op: "ScatterElements",
    inputs: [tensor([3, 2]), { dtype: "int32", shape: [1, 2], values: [2, 0] }, tensor([1, 2])],
    differentiate: [0, 2],
  },
  { op: "Gather", inputs: [tensor([2, 3]), indices([0], [])] },
  { op: "Gather", inputs: [tensor([2, 3, 2]), scalar(-2)], attributes: { axis: int(1) }, differentiate: [0] },
  { op: "Gather", inputs: [tensor([4, 2]), vector(3)], differentiate: [0] },
  // places in even steps, known or not
  { op: "Gather", inputs: [tensor([7, 2]), vector(5, 3, 1)], differentiate: [0] },
  { op: "Gather", inputs: [tensor([7, 2]), indices([2, 2], [0, 2, 4, 6])], differentiate: [0] },
  { op: "Gather", inputs: [tensor([2, 6]), vector(-5, -4, -3)], attributes: { axis: int(1) }, differentiate: [0] },
  {
    op: "GatherElements",
    inputs: [tensor([4]), { dtype: "int32", shape: [3], values: [-1, -1, 0] }],
    differentiate: [0],
  },
  {
    op: "ScatterElements",
    inputs: [tensor([3]), indices([2], [-1, 0]), tensor([2])],
    attributes: { axis: int(-1) },
    differentiate: [0, 2],
  },
  {
    op: "ScatterElements",
    inputs: [tensor([3]), indices([2], [1, 1]), tensor([2])],
    attributes: { reduction: text("max") },
  },
  { op: "GatherND", inputs: [tensor([2, 3, 4]), indices([2, 2], [0, -1, 1, 3])], attributes: { batch_dims: int(1) } },
  { op: "GatherND", inputs: [tensor([2, 3, 4]), indices([2, 2, 1], [0, 1, 1, 1])], differentiate: [0] },
  { op: "ScatterND", inputs: [tensor([2, 3]), indices([2, 2], [0, -1, 1, 1]), tensor([2])], differentiate: [0, 2] },
  {
    op: "ScatterND",
    inputs: [tensor([3]), indices([2, 1], [1, 1]), tensor([2])],
    attributes: { reduction: text("mul") },
  },
  {
    op: "OneHot",
    inputs: [tensor([2, 2], [0, 3]), { shape: [1], values: [3], constant: true }, { shape: [2], values: [5, 7] }],
    attributes: { axis: int(-2) },
  },
  { op: "OneHot", inputs: [indices([2], [-1, 7]), scalar(3), { shape: [2], values: [0, 1] }] },
  { op: "Shape", inputs: [tensor([])] },
  { op: "Shape", inputs: [tensor([2, 0])], attributes: { start: int(1), end: int(-5) } },
  { op: "Size", inputs: [tensor([2, 0])] },
  { op: "Constant", inputs: [], attributes: { value_floats: { type: "floats", value: [0.5, -1] } } },
  {
    op: "Constant",
    inputs: [],
    attributes: {
      value: { type: "tensor", value: { dtype: "float32", shape: [], data: new Uint8Array([0, 0, 128, 63]) } },
    },
  },
  { op: "ConstantOfShape", inputs: [vector()] },
  { op: "ConstantOfShape", inputs: [vector(2, 0)] },
  {
    op: "Range",
    inputs: [
      { shape: [], values: [0], constant: true },
      { shape: [], values: [1], constant: true },
      { shape: [], values: [0.3], constant: true },
    ],
  },
  { op: "Range", inputs: [scalar(3), scalar(3), scalar(1)] },
  { op: "EyeLike", inputs: [tensor([3, 4])] },
  { op: "EyeLike", inputs: [tensor([2, 3])], attributes: { k: int(-1), dtype: int(7) } },
  { op: "NonZero", inputs: [{ dtype: "int64", shape: [2, 3], values: [0, 4, 0, -1, 1, 0], constant: true }] },
  { op: "NonZero", inputs: [{ dtype: "bool", shape: [2], values: [0, 0], constant: true }] },
];
