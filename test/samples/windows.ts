import { float, int, ints, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor, vector } from "./sample.js";

const places = (shape: readonly number[], ...values: readonly number[]): SampleInput => ({
  dtype: "int64",
  shape,
  values,
});

export const windows: readonly Sample[] = [
  { op: "LRN", inputs: [tensor([2, 5, 2, 3])], attributes: { size: int(3) }, differentiate: [0] },
  {
    op: "LRN",
    inputs: [tensor([1, 4, 3, 1], [-2, 3])],
    attributes: { size: int(5), alpha: float(0.5), beta: float(0.6), bias: float(2) },
    differentiate: [0],
  },
  {
    op: "LRN",
    inputs: [tensor([1, 3, 2, 2])],
    attributes: { size: int(1001), alpha: float(500) },
    differentiate: [0],
  },
  {
    op: "LpPool",
    inputs: [tensor([2, 3, 6, 6])],
    attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    differentiate: [0],
  },
  {
    op: "LpPool",
    inputs: [tensor([1, 2, 5, 7], [0.2, 2])],
    attributes: { kernel_shape: ints([2, 3]), strides: ints([2, 1]), pads: ints([0, 1, 1, 2]), p: int(3) },
    differentiate: [0],
  },
  {
    op: "LpPool",
    inputs: [tensor([1, 1, 8], [0.2, 2])],
    attributes: { kernel_shape: ints([3]), strides: ints([3]), p: int(1), auto_pad: text("SAME_LOWER") },
    differentiate: [0],
  },
  {
    op: "LpPool",
    inputs: [tensor([1, 2, 7, 8])],
    attributes: { kernel_shape: ints([3, 2]), strides: ints([3, 3]), dilations: ints([1, 2]), ceil_mode: int(1) },
    differentiate: [0],
  },
  { op: "GlobalLpPool", inputs: [tensor([2, 3, 4, 5])], differentiate: [0] },
  { op: "GlobalLpPool", inputs: [tensor([1, 3, 5], [0.2, 2])], attributes: { p: int(3) }, differentiate: [0] },
  {
    op: "MaxUnpool",
    inputs: [tensor([1, 1, 2, 2]), places([1, 1, 2, 2], 1, 3, 8, 14)],
    attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    differentiate: [0],
  },
  {
    op: "MaxUnpool",
    inputs: [tensor([2, 1, 2]), places([2, 1, 2], 0, 4, 6, 8), vector(2, 1, 5)],
    attributes: { kernel_shape: ints([2]), strides: ints([2]) },
    differentiate: [0],
  },
  { op: "Col2Im", inputs: [tensor([2, 8, 6]), vector(3, 4), vector(2, 2)], differentiate: [0] },
  {
    op: "Col2Im",
    inputs: [tensor([1, 6, 4]), vector(5, 5), vector(2, 3)],
    attributes: { strides: ints([3, 2]), dilations: ints([2, 1]), pads: ints([1, 0, 0, 1]) },
    differentiate: [0],
  },
];
