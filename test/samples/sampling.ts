import { int, text } from "../../src/graph/graph.js";
import { type Sample, tensor, vector } from "./sample.js";

export const sampling: readonly Sample[] = [
  {
    op: "GridSample",
    inputs: [tensor([2, 3, 4, 5]), tensor([2, 2, 3, 2], [-1.3, 1.2])],
    opsets: [20],
    differentiate: [0, 1],
    step: 1e-4,
  },
  {
    op: "GridSample",
    inputs: [tensor([1, 2, 3, 4]), tensor([1, 3, 2, 2], [-1.6, 1.7])],
    attributes: { padding_mode: text("reflection"), mode: text("bilinear") },
    opsets: [16],
    differentiate: [0, 1],
    step: 1e-4,
  },
  {
    op: "GridSample",
    inputs: [tensor([2, 2, 3, 4]), tensor([2, 1, 5, 2], [-3.6, 3.7])],
    attributes: { padding_mode: text("reflection"), align_corners: int(1) },
    opsets: [20],
    differentiate: [0, 1],
    step: 5e-4,
  },
  {
    op: "GridSample",
    inputs: [tensor([1, 2, 3, 4]), tensor([1, 3, 2, 2], [-1.3, 1.4])],
    attributes: { padding_mode: text("border"), align_corners: int(1) },
    opsets: [20],
    differentiate: [0, 1],
    step: 1e-4,
  },
  {
    op: "GridSample",
    inputs: [tensor([2, 1, 4, 4]), tensor([2, 3, 3, 2], [-1.4, 1.5])],
    attributes: { mode: text("nearest") },
    opsets: [16],
    differentiate: [0],
  },
  {
    op: "GridSample",
    inputs: [tensor([1, 2, 2, 3, 4]), tensor([1, 2, 1, 2, 3], [-1.2, 1.3])],
    opsets: [20],
    differentiate: [0, 1],
    step: 1e-4,
  },
  {
    op: "GridSample",
    inputs: [tensor([1, 1, 4, 4]), tensor([1, 2, 3, 2])],
    attributes: { mode: text("cubic") },
    opsets: [20],
  },
  { op: "AffineGrid", inputs: [tensor([2, 2, 3]), vector(2, 3, 4, 5)], opsets: [20], differentiate: [0] },
  {
    op: "AffineGrid",
    inputs: [tensor([1, 3, 4]), vector(1, 1, 2, 3, 2)],
    attributes: { align_corners: int(1) },
    opsets: [20],
    differentiate: [0],
  },
];
