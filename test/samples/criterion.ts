import { int, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const target = (
  shape: readonly number[],
  values: readonly number[],
  dtype: "int32" | "int64" = "int64",
): SampleInput => ({
  dtype,
  shape,
  values,
});

const weights: SampleInput = { shape: [4], values: [0.5, 1.5, 0.7, 2] };

export const criterion: readonly Sample[] = [
  {
    op: "SoftmaxCrossEntropyLoss",
    inputs: [tensor([3, 4], [-2, 2]), target([3], [0, 3, 1])],
    differentiate: [0],
  },
  {
    op: "SoftmaxCrossEntropyLoss",
    inputs: [tensor([2, 4, 3], [-2, 2]), target([2, 3], [0, 3, -100, 2, 2, 1]), weights],
    attributes: { ignore_index: int(-100) },
    outputs: 2,
    differentiate: [0],
  },
  {
    op: "SoftmaxCrossEntropyLoss",
    inputs: [tensor([1, 4, 2, 3], [-2, 2]), target([1, 2, 3], [0, 3, 1, 2, 2, 1], "int32")],
    attributes: { ignore_index: int(2), reduction: text("sum") },
    differentiate: [0],
  },
  {
    op: "NegativeLogLikelihoodLoss",
    inputs: [tensor([3, 4], [-2, 0]), target([3], [0, 3, 1], "int32")],
    attributes: { reduction: text("none") },
    differentiate: [0],
  },
  {
    op: "NegativeLogLikelihoodLoss",
    inputs: [tensor([2, 4, 3], [-2, 0]), target([2, 3], [0, 3, 1, 2, 2, 1]), weights],
    attributes: { ignore_index: int(1) },
    differentiate: [0, 2],
  },
];
