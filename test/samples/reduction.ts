import { int, ints } from "../../src/graph/graph.js";
import { type Sample, tensor, vector } from "./sample.js";

const reductions = (op: string, range: readonly [number, number] = [-1, 1]): Sample[] => [
  { op, inputs: [tensor([3, 4], range), vector(1)], differentiate: [0] },
  { op, inputs: [tensor([2, 3, 4], range), vector(-1, 0)], attributes: { keepdims: int(0) }, differentiate: [0] },
  { op, inputs: [tensor([2, 5], range)], attributes: { keepdims: int(0) }, differentiate: [0] },
  { op, inputs: [tensor([2, 5], range), vector()], attributes: { noop_with_empty_axes: int(1) }, differentiate: [0] },
  { op, inputs: [tensor([], range)], differentiate: [0] },
];

const alongAxis = (op: string): Sample[] => [
  { op, inputs: [tensor([3, 4], [-2, 2])], differentiate: [0] },
  { op, inputs: [tensor([2, 3, 5], [-2, 2])], attributes: { axis: int(-2) }, differentiate: [0] },
];

const indices = (op: string): Sample[] => [
  { op, inputs: [tensor([3, 4])] },
  { op, inputs: [tensor([2, 3, 5])], attributes: { axis: int(-2), keepdims: int(0) } },
];

export const samples: readonly Sample[] = [
  ...reductions("ReduceSum"),
  { op: "mutwo:ReduceSum", inputs: [{ ...tensor([3, 4]), dtype: "float16" }, vector(0)], attributes: { to: int(1) } },
  {
    op: "mutwo:ReduceSum",
    inputs: [{ ...tensor([2, 3, 5]), dtype: "bfloat16" }, vector(0, 1)],
    attributes: { to: int(1), keepdims: int(0) },
  },
  ...reductions("ReduceMean"),
  ...reductions("ReduceMax"),
  ...reductions("ReduceMin"),
  ...reductions("ReduceProd", [0.6, 1.5]),
  ...reductions("ReduceL1"),
  ...reductions("ReduceL2"),
  ...reductions("ReduceLogSum", [0.5, 2]),
  ...reductions("ReduceLogSumExp"),
  ...reductions("ReduceSumSquare"),
  ...indices("ArgMax"),
  ...indices("ArgMin"),
  ...alongAxis("Softmax"),
  ...alongAxis("LogSoftmax"),
  { op: "Hardmax", inputs: [tensor([3, 4])] },
  { op: "Hardmax", inputs: [tensor([2, 3, 5])], attributes: { axis: int(1) } },
  { op: "CumSum", inputs: [tensor([3, 4]), vector(1)], differentiate: [0] },
  {
    op: "CumSum",
    inputs: [tensor([2, 3, 5]), { dtype: "int64", shape: [], values: [-2], constant: true }],
    attributes: { exclusive: int(1), reverse: int(1) },
    differentiate: [0],
  },
  { op: "TopK", inputs: [tensor([3, 5]), vector(2)], outputs: 2, differentiate: [0] },
  {
    op: "TopK",
    inputs: [tensor([5, 2, 3]), vector(3)],
    attributes: { axis: int(-3), largest: int(0) },
    outputs: 2,
    differentiate: [0],
  },
  // the axes as an attribute, as before opset 18
  { op: "ReduceMean", inputs: [tensor([2, 3])], attributes: { axes: ints([-1]) }, differentiate: [0] },
];
