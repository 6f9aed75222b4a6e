import { int, ints } from "../../src/graph.js";
import { type Sample, tensor, vector } from "./sample.js";

export const movement: readonly Sample[] = [
  { op: "Reshape", inputs: [tensor([2, 3, 4]), vector(0, -1)], differentiate: [0] },
  { op: "Reshape", inputs: [tensor([1]), vector()], differentiate: [0] },
  { op: "Flatten", inputs: [tensor([2, 3, 4])], differentiate: [0] },
  { op: "Flatten", inputs: [tensor([2, 3, 4])], attributes: { axis: int(-1) }, differentiate: [0] },
  { op: "Squeeze", inputs: [tensor([1, 3, 1]), vector(-1)], differentiate: [0] },
  { op: "Squeeze", inputs: [tensor([1, 3, 1])], differentiate: [0] },
  { op: "Unsqueeze", inputs: [tensor([3]), vector(0, -1)], differentiate: [0] },
  { op: "Unsqueeze", inputs: [tensor([]), vector(0)], differentiate: [0] },
  { op: "Transpose", inputs: [tensor([2, 3, 4])], attributes: { perm: ints([1, 2, 0]) }, differentiate: [0] },
  { op: "Transpose", inputs: [tensor([2, 3, 4])], differentiate: [0] },
  { op: "Concat", inputs: [tensor([2, 3]), tensor([2, 1])], attributes: { axis: int(-1) }, differentiate: [0, 1] },
  {
    op: "Concat",
    inputs: [tensor([2, 3]), tensor([1, 3]), tensor([3, 3])],
    attributes: { axis: int(0) },
    differentiate: [0, 1, 2],
  },
  { op: "Split", inputs: [tensor([4, 3]), vector(1, 3)], outputs: 2, differentiate: [0] },
  {
    op: "Split",
    inputs: [tensor([2, 7]), vector(2, 1, 4)],
    attributes: { axis: int(-1) },
    outputs: 3,
    differentiate: [0],
  },
  { op: "Slice", inputs: [tensor([5, 4]), vector(1, -3), vector(4, 2 ** 31)], differentiate: [0] },
  {
    op: "Slice",
    inputs: [tensor([5, 7]), vector(-1, 1), vector(-100, 7), vector(0, -1), vector(-2, 3)],
    differentiate: [0],
  },
  { op: "Pad", inputs: [tensor([2, 3]), vector(1, 0, 0, 2)], differentiate: [0] },
  { op: "Pad", inputs: [tensor([4, 3]), vector(-1, 1, 0, -1)], differentiate: [0] },
  { op: "Expand", inputs: [tensor([3, 1]), vector(2, 1, 4)], differentiate: [0] },
  { op: "Expand", inputs: [tensor([]), vector(2, 2)], differentiate: [0] },
  { op: "Tile", inputs: [tensor([2, 3]), vector(1, 3)], differentiate: [0] },
  { op: "Tile", inputs: [tensor([2, 1, 3]), vector(2, 2, 1)], differentiate: [0] },
];
