import { float, int, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const rois = (...values: readonly number[]): SampleInput => ({ shape: [values.length / 4, 4], values });

const images = (...values: readonly number[]): SampleInput => ({ dtype: "int64", shape: [values.length], values });

const size = (height: number, width: number) => ({ output_height: int(height), output_width: int(width) });

const outer = text("output_half_pixel");

export const regions: readonly Sample[] = [
  {
    op: "RoiAlign",
    inputs: [tensor([2, 3, 6, 7]), rois(0.3, 0.4, 4.7, 3.9, 1.2, 2.1, 6.1, 5.3, 2.2, 0.7, 3.1, 1.9), images(0, 1, 1)],
    attributes: { ...size(2, 3), sampling_ratio: int(2) },
    opsets: [16],
    differentiate: [0],
  },
  // over the edges, scaled, a region of no size
  {
    op: "RoiAlign",
    inputs: [
      tensor([1, 2, 5, 4]),
      rois(-5.3, -3.4, 6.7, 13.9, 3.2, 3.1, 3.2, 3.1, 2.3, 1.1, 30.5, 22),
      images(0, 0, 0),
    ],
    attributes: { ...size(3, 2), sampling_ratio: int(3), spatial_scale: float(0.5) },
    opsets: [21],
    differentiate: [0],
  },
  {
    op: "RoiAlign",
    inputs: [tensor([2, 2, 5, 5]), rois(0.2, 0.4, 0.9, 0.7, 1.2, 1.1, 4.2, 4.6), images(1, 0)],
    attributes: { ...size(2, 2), sampling_ratio: int(2), coordinate_transformation_mode: outer },
    opsets: [16],
    differentiate: [0],
  },
  // opset 10 places corners as output_half_pixel does
  {
    op: "RoiAlign",
    inputs: [tensor([1, 2, 5, 6]), rois(0.2, 0.4, 0.9, 0.7, 1.2, 1.1, 4.2, 4.6), images(0, 0)],
    attributes: { ...size(2, 2), sampling_ratio: int(1) },
    opsets: [10],
    differentiate: [0],
  },
  // as many samples as there are elements
  {
    op: "RoiAlign",
    inputs: [
      tensor([2, 2, 7, 6]),
      { ...rois(0.3, 0.4, 5.7, 6.9, 1.2, 2.1, 2.1, 5.3, 3, 3, 3, 3), constant: true },
      images(0, 1, 0),
    ],
    attributes: size(2, 3),
    opsets: [16],
    differentiate: [0],
  },
  {
    op: "RoiAlign",
    inputs: [tensor([1, 1, 6, 6]), { ...rois(0.3, 0.4, 5.7, 6.9, 1.2, 2.1, 2.1, 5.3), constant: true }, images(0, 0)],
    attributes: size(2, 1),
    opsets: [10],
    differentiate: [0],
  },
  {
    op: "RoiAlign",
    inputs: [tensor([2, 2, 5, 6]), rois(0.3, 0.4, 4.7, 3.9, 1.2, 1.1, 5.1, 4.3), images(0, 1)],
    attributes: { ...size(2, 2), sampling_ratio: int(2), mode: text("max") },
    opsets: [16],
    differentiate: [0],
    step: 1e-3,
  },
];
