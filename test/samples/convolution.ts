import { type Attributes, int, ints, text } from "../../src/graph/graph.js";
import { type Sample, tensor } from "./sample.js";

const window = (strides: number[], pads: number[], dilations: number[]): Attributes => ({
  strides: ints(strides),
  pads: ints(pads),
  dilations: ints(dilations),
});

export const convolution: readonly Sample[] = [
  { op: "Conv", inputs: [tensor([2, 3, 5, 6]), tensor([4, 3, 3, 3]), tensor([4])], differentiate: [0, 1, 2] },
  {
    op: "Conv",
    inputs: [tensor([2, 4, 7, 6]), tensor([6, 2, 3, 2]), tensor([6])],
    attributes: { ...window([2, 2], [1, 0, 1, 1], [1, 2]), group: int(2) },
    differentiate: [0, 1, 2],
  },
  { op: "Conv", inputs: [tensor([2, 3, 4, 4]), tensor([5, 3, 1, 1])], differentiate: [0, 1] },
  {
    op: "Conv",
    inputs: [tensor([2, 3, 8]), tensor([2, 3, 3])],
    attributes: window([3], [2, 1], [1]),
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([1, 3, 5, 5]), tensor([3, 1, 3, 3])],
    attributes: { auto_pad: text("SAME_UPPER"), strides: ints([2, 2]), group: int(3) },
    differentiate: [0, 1],
  },
  { op: "Conv", inputs: [tensor([1, 2, 4, 3, 4]), tensor([2, 2, 2, 2, 2])], differentiate: [0, 1] },
  {
    op: "mutwo:ConvFilterGradient",
    inputs: [tensor([2, 3, 5, 5]), tensor([2, 4, 3, 3])],
    attributes: {
      kernel_shape: ints([3, 3]),
      strides: ints([1, 1]),
      pads: ints([0, 0, 0, 0]),
      dilations: ints([1, 1]),
    },
  },
  {
    op: "mutwo:ConvFilterGradient",
    inputs: [tensor([2, 4, 6, 6]), tensor([2, 6, 3, 3])],
    attributes: { kernel_shape: ints([2, 2]), group: int(2), ...window([2, 2], [0, 0, 0, 0], [1, 1]) },
  },
  { op: "ConvTranspose", inputs: [tensor([2, 3, 3, 4]), tensor([3, 2, 3, 3]), tensor([2])], differentiate: [0, 1, 2] },
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 4, 3, 3]), tensor([4, 2, 3, 3])],
    attributes: { ...window([2, 2], [1, 1, 1, 1], [1, 1]), output_padding: ints([1, 0]), group: int(2) },
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([2, 4, 9]), tensor([4, 2, 3]), tensor([4])],
    attributes: { ...window([2], [0, 3], [2]), group: int(2) },
    differentiate: [0, 1, 2],
  },
  {
    op: "Conv",
    inputs: [tensor([1, 4, 4, 5, 3]), tensor([4, 2, 2, 3, 1])],
    attributes: { ...window([1, 2, 2], [1, 0, 0, 0, 2, 0], [2, 1, 1]), group: int(2) },
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([2, 3, 6, 7]), tensor([2, 3, 2, 3])],
    attributes: { auto_pad: text("SAME_LOWER"), strides: ints([2, 3]) },
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([2, 3, 6, 7]), tensor([2, 3, 2, 3])],
    attributes: { auto_pad: text("VALID"), strides: ints([3, 3]) },
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([2, 3, 5, 4]), tensor([4, 3, 1, 1])],
    attributes: window([2, 3], [0, 0, 0, 0], [1, 1]),
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([2, 4, 3, 3]), tensor([4, 1, 1, 1])],
    attributes: { group: int(4) },
    differentiate: [0, 1],
  },
  {
    op: "Conv",
    inputs: [tensor([1, 1, 1, 1]), tensor([1, 1, 3, 3])],
    attributes: window([1, 1], [1, 1, 1, 1], [1, 1]),
    differentiate: [0, 1],
  },
  { op: "Conv", inputs: [tensor([3, 2, 4]), tensor([3, 2, 1]), tensor([3])], differentiate: [0, 1, 2] },
  {
    op: "mutwo:ConvFilterGradient",
    inputs: [tensor([2, 3, 7]), tensor([2, 3, 4])],
    attributes: { kernel_shape: ints([1]), group: int(3), ...window([2], [0, 0], [1]) },
  },
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 2, 3, 4]), tensor([2, 3, 3, 2]), tensor([3])],
    attributes: window([2, 1], [1, 0, 0, 1], [1, 2]),
    differentiate: [0, 1, 2],
  },
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 2, 3, 4]), tensor([2, 3, 3, 2])],
    attributes: { auto_pad: text("SAME_UPPER"), strides: ints([2, 3]) },
    differentiate: [0, 1],
  },
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 2, 3, 4]), tensor([2, 3, 3, 3])],
    attributes: { auto_pad: text("SAME_LOWER"), strides: ints([2, 2]) },
    differentiate: [0, 1],
  },
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 2, 3, 4]), tensor([2, 3, 3, 3])],
    attributes: { output_shape: ints([6, 8]), strides: ints([2, 2]) },
    differentiate: [0, 1],
  },
  {
    op: "ConvTranspose",
    inputs: [tensor([2, 2, 4]), tensor([2, 3, 1])],
    attributes: window([2], [0, 0], [1]),
    differentiate: [0, 1],
  },
  {
    op: "ConvTranspose",
    inputs: [tensor([1, 2, 2, 3, 2]), tensor([2, 1, 2, 2, 2])],
    attributes: { ...window([2, 1, 1], [1, 0, 0, 1, 0, 0], [1, 1, 2]), group: int(2) },
    differentiate: [0, 1],
  },
];
