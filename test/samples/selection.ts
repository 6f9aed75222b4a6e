import { int, ints, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor, vector } from "./sample.js";

const whole = (dtype: "int64" | "uint8", shape: readonly number[], ...values: readonly number[]): SampleInput => ({
  dtype,
  shape,
  values,
});

const condition = (...values: readonly number[]): SampleInput => ({
  dtype: "bool",
  shape: [values.length],
  values,
  constant: true,
});

const size = (value: number): SampleInput => ({ dtype: "int64", shape: [], values: [value], constant: true });

export const selection: readonly Sample[] = [
  { op: "Compress", inputs: [tensor([2, 3]), condition(0, 1, 1, 0, 1)], differentiate: [0] },
  {
    op: "Compress",
    inputs: [tensor([2, 4, 2]), condition(1, 0, 1)],
    attributes: { axis: int(-2) },
    differentiate: [0],
  },
  {
    op: "Scatter",
    inputs: [tensor([3, 2]), whole("int64", [1, 2], 2, 0), tensor([1, 2])],
    opsets: [9],
    differentiate: [0, 2],
  },
  {
    op: "Scatter",
    inputs: [tensor([2, 4]), whole("int64", [2, 1], 3, 1), tensor([2, 1])],
    attributes: { axis: int(1) },
    opsets: [10],
    differentiate: [0, 2],
  },
  { op: "CenterCropPad", inputs: [tensor([5, 4]), vector(2, 7)], differentiate: [0] },
  {
    op: "CenterCropPad",
    inputs: [tensor([3, 6, 4]), vector(6, 3)],
    attributes: { axes: ints([-1, 1]) },
    differentiate: [0],
  },
  { op: "ReverseSequence", inputs: [tensor([4, 3, 2]), whole("int64", [3], 4, 1, 2)], differentiate: [0] },
  {
    op: "ReverseSequence",
    inputs: [tensor([2, 5]), whole("int64", [2], 3, 5)],
    attributes: { batch_axis: int(0), time_axis: int(1) },
    differentiate: [0],
  },
  { op: "HannWindow", inputs: [size(7)] },
  { op: "HannWindow", inputs: [size(6)], attributes: { periodic: int(0), output_datatype: int(11) } },
  { op: "HammingWindow", inputs: [size(7)] },
  { op: "HammingWindow", inputs: [size(5)], attributes: { periodic: int(0) } },
  { op: "BlackmanWindow", inputs: [size(8)] },
  { op: "BlackmanWindow", inputs: [size(5)], attributes: { periodic: int(0) } },
  { op: "Multinomial", inputs: [tensor([3, 4])], attributes: { sample_size: int(5) }, random: true },
  { op: "Multinomial", inputs: [tensor([1, 4])], attributes: { dtype: int(7) }, random: true },
  { op: "Det", inputs: [tensor([3, 3])] },
  { op: "Det", inputs: [tensor([2, 1, 2, 2])] },
  {
    op: "BitShift",
    inputs: [whole("uint8", [3], 1, 5, 200), whole("uint8", [3], 1, 2, 0)],
    attributes: { direction: text("LEFT") },
  },
  {
    op: "BitShift",
    inputs: [whole("uint8", [2, 2], 255, 17, 64, 3), whole("uint8", [1, 2], 2, 1)],
    attributes: { direction: text("RIGHT") },
  },
  { op: "BitwiseAnd", inputs: [whole("int64", [3], 12, 10, -1), whole("int64", [3], 10, 6, 7)] },
  { op: "BitwiseAnd", inputs: [whole("uint8", [2, 2], 12, 10, 255, 3), whole("uint8", [2], 6, 5)] },
  { op: "BitwiseOr", inputs: [whole("int64", [3], 12, 10, -8), whole("int64", [3], 10, 6, 7)] },
  { op: "BitwiseOr", inputs: [whole("int64", [2, 1], 12, 1), whole("int64", [1, 2], 6, 5)] },
  { op: "BitwiseXor", inputs: [whole("int64", [3], 12, 10, -8), whole("int64", [3], 10, 6, 7)] },
  { op: "BitwiseXor", inputs: [whole("int64", [2, 1], 12, 1), whole("int64", [], 6)] },
  { op: "BitwiseNot", inputs: [whole("int64", [3], 12, 0, -8)] },
  { op: "BitwiseNot", inputs: [whole("uint8", [2, 2], 12, 10, 255, 3)] },
];
