import { float, int } from "../../src/graph.js";
import { type Sample, tensor } from "./sample.js";

export const matrix: readonly Sample[] = [
  { op: "MatMul", inputs: [tensor([3, 4]), tensor([4, 5])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([2, 1, 3, 4]), tensor([3, 4, 2])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([2, 3, 4]), tensor([4, 5])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([4]), tensor([2, 4, 3])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([2, 3, 4]), tensor([4])], differentiate: [0, 1] },
  { op: "Gemm", inputs: [tensor([3, 4]), tensor([4, 5]), tensor([5])], differentiate: [0, 1, 2] },
  {
    op: "Gemm",
    inputs: [tensor([4, 3]), tensor([5, 4]), tensor([3, 1])],
    attributes: { transA: int(1), transB: int(1), alpha: float(0.5), beta: float(2) },
    differentiate: [0, 1, 2],
  },
  { op: "Gemm", inputs: [tensor([4, 3]), tensor([4, 5])], attributes: { transA: int(1) }, differentiate: [0, 1] },
  { op: "Gemm", inputs: [tensor([3, 4]), tensor([5, 4])], attributes: { transB: int(1) }, differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([4]), tensor([4])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([4]), tensor([4, 3])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([2, 3, 4]), tensor([2, 4, 5])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([3, 4]), tensor([2, 4, 5])], differentiate: [0, 1] },
  { op: "MatMul", inputs: [tensor([0, 4]), tensor([4, 5])] },
  { op: "MatMul", inputs: [tensor([2, 0]), tensor([0, 3])] },
  { op: "Gemm", inputs: [tensor([3, 4]), tensor([4, 5]), tensor([])], differentiate: [0, 1, 2] },
  {
    op: "Gemm",
    inputs: [tensor([4, 3]), tensor([4, 5]), tensor([1, 5])],
    attributes: { transA: int(1), alpha: float(-2), beta: float(0) },
    differentiate: [0, 1, 2],
  },
  { op: "Gemm", inputs: [tensor([1, 1]), tensor([1, 1]), tensor([1])], differentiate: [0, 1, 2] },
];
