import { int, ints } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

/** The tensor of input 0 once more. */
const again = (shape: readonly number[]): SampleInput => ({ shape, same: 0 });

const twice = (op: string, shape: readonly number[], range: readonly [number, number] = [-1, 1]): Sample => ({
  op,
  inputs: [tensor(shape, range), again(shape)],
  differentiate: [0],
});

/** One tensor in several places of a node: its gradient is the sum over them. */
export const repeated: readonly Sample[] = [
  twice("Add", [2, 3]),
  twice("Sub", [2, 3]),
  twice("Mul", [2, 3]),
  twice("Div", [2, 3], [0.5, 2]),
  twice("Pow", [2, 3], [0.5, 2]),
  twice("Max", [2, 3]),
  twice("MatMul", [3, 3]),
  twice("MatMul", [2, 3, 3]),
  { op: "Sum", inputs: [tensor([2]), again([2]), tensor([3, 2]), again([2])], differentiate: [0, 2] },
  { op: "Concat", inputs: [tensor([2, 3]), again([2, 3])], attributes: { axis: int(-1) }, differentiate: [0] },
  {
    op: "Gemm",
    inputs: [tensor([3, 3]), again([3, 3]), again([3, 3])],
    attributes: { transB: int(1) },
    differentiate: [0],
  },
  {
    op: "Where",
    inputs: [{ dtype: "bool", shape: [3], values: [1, 0, 1] }, tensor([2, 3]), { shape: [2, 3], same: 1 }],
    differentiate: [1],
  },
  {
    op: "Einsum",
    inputs: [tensor([3, 3]), again([3, 3])],
    attributes: { equation: { type: "string", value: "ij,jk->ik" } },
    differentiate: [0],
  },
  {
    op: "Conv",
    inputs: [tensor([2, 2, 3, 3]), again([2, 2, 3, 3])],
    attributes: { pads: ints([1, 1, 1, 1]) },
    differentiate: [0],
  },
  {
    op: "ScatterElements",
    inputs: [tensor([3, 2]), { dtype: "int64", shape: [3, 2], values: [2, 0, 0, 1, 1, 2] }, again([3, 2])],
    differentiate: [0],
  },
  { op: "PRelu", inputs: [tensor([2, 3]), again([2, 3])], differentiate: [0] },
  { op: "LayerNormalization", inputs: [tensor([4], [-2, 2]), again([4]), again([4])], differentiate: [0] },
  {
    op: "Attention",
    inputs: [tensor([1, 2, 3, 4]), again([1, 2, 3, 4]), again([1, 2, 3, 4])],
    opsets: [23],
    differentiate: [0],
  },
  {
    op: "RNN",
    inputs: [tensor([2, 1, 1]), tensor([1, 1, 1]), { shape: [1, 1, 1], same: 1 }],
    attributes: { hidden_size: int(1) },
    differentiate: [0, 1],
  },
];
