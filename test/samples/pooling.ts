import { int, ints, text } from "../../src/graph.js";
import { type Sample, tensor } from "./sample.js";

const kernel = { kernel_shape: ints([2, 3]), strides: ints([2, 1]), pads: ints([0, 1, 1, 1]) };

export const pooling: readonly Sample[] = [
  {
    op: "MaxPool",
    inputs: [tensor([2, 3, 6, 6])],
    attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 2, 5, 7])],
    attributes: { ...kernel, ceil_mode: int(1) },
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 2, 5, 7])],
    attributes: { kernel_shape: ints([3, 3]), auto_pad: text("SAME_LOWER") },
    outputs: 2,
  },
  {
    op: "mutwo:MaxPoolGradient",
    inputs: [tensor([1, 1, 2, 2]), { dtype: "int64", shape: [1, 1, 2, 2], values: [0, 3, 3, 15] }],
    attributes: { shape: ints([1, 1, 4, 4]) },
  },
  {
    op: "mutwo:MaxPoolGradient",
    inputs: [tensor([2, 1, 1]), { dtype: "int64", shape: [2, 1, 1], values: [4, 5] }],
    attributes: { shape: ints([2, 1, 5]) },
  },
  {
    op: "AveragePool",
    inputs: [tensor([2, 3, 6, 6])],
    attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 5, 7])],
    attributes: { ...kernel, pads: ints([1, 1, 1, 1]), count_include_pad: int(1) },
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 5, 7])],
    attributes: { ...kernel, pads: ints([1, 1, 1, 1]) },
    differentiate: [0],
  },
  { op: "GlobalAveragePool", inputs: [tensor([2, 3, 4, 5])], differentiate: [0] },
  { op: "GlobalAveragePool", inputs: [tensor([1, 3, 7])], differentiate: [0] },
  {
    op: "MaxPool",
    inputs: [tensor([2, 2, 9])],
    attributes: { kernel_shape: ints([3]), strides: ints([2]), dilations: ints([2]), pads: ints([2, 1]) },
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 2, 4, 3, 5])],
    attributes: { kernel_shape: ints([2, 1, 3]), strides: ints([2, 1, 2]), pads: ints([0, 0, 1, 0, 0, 2]) },
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 2, 5, 7])],
    attributes: { kernel_shape: ints([2, 3]), strides: ints([2, 2]), auto_pad: text("SAME_UPPER") },
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 2, 5, 7])],
    attributes: { kernel_shape: ints([2, 3]), strides: ints([3, 2]), auto_pad: text("VALID") },
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "MaxPool",
    inputs: [tensor([1, 1, 6, 6])],
    attributes: { kernel_shape: ints([3, 3]), strides: ints([4, 4]), pads: ints([1, 1, 1, 1]), ceil_mode: int(1) },
    outputs: 2,
    through: [0],
    differentiate: [0],
    step: 1e-4,
  },
  {
    op: "AveragePool",
    inputs: [tensor([2, 2, 9])],
    attributes: { kernel_shape: ints([3]), strides: ints([2]), pads: ints([2, 1]) },
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 4, 3, 5])],
    attributes: { kernel_shape: ints([2, 1, 3]), strides: ints([3, 1, 2]), pads: ints([0, 0, 1, 1, 0, 2]) },
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 5, 6])],
    attributes: { kernel_shape: ints([2, 3]), strides: ints([2, 2]), auto_pad: text("SAME_LOWER") },
    differentiate: [0],
  },
  {
    op: "AveragePool",
    inputs: [tensor([1, 2, 7, 6])],
    attributes: {
      kernel_shape: ints([2, 3]),
      strides: ints([2, 1]),
      dilations: ints([2, 2]),
      pads: ints([1, 1, 0, 0]),
    },
    differentiate: [0],
  },
  { op: "GlobalAveragePool", inputs: [tensor([2, 1, 2, 3, 2])], differentiate: [0] },
];
