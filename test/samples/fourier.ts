import { int } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const size = (value: number): SampleInput => ({ dtype: "int64", shape: [], values: [value], constant: true });

const axis = size;

const hertz = (value: number): SampleInput => ({ shape: [], values: [value], constant: true });

/** `inputs` behind the signal: dft_length and, from opset 20 on, the axis. */
const dft = (
  shape: readonly number[],
  opset: number,
  more: Partial<Sample> = {},
  ...inputs: Sample["inputs"]
): Sample => ({
  op: "DFT",
  inputs: [tensor(shape), ...inputs],
  opsets: [opset],
  differentiate: [0],
  ...more,
});

export const fourier: readonly Sample[] = [
  dft([2, 5, 1], 17),
  dft([2, 6, 2], 20),
  dft([2, 8, 1], 17, { attributes: { onesided: int(1) } }),
  dft([2, 5, 1], 20, { attributes: { onesided: int(1) } }),
  dft([2, 6, 2], 17, { attributes: { inverse: int(1) } }),
  dft([1, 5, 2], 20, { attributes: { inverse: int(1) } }),
  dft([3, 4, 5, 2], 17, { attributes: { axis: int(2) } }),
  dft([3, 4, 2, 1], 17, { attributes: { axis: int(-3), onesided: int(1) } }),
  dft([3, 4, 2, 2], 20, {}, undefined, axis(1)),
  dft([3, 4, 2, 2], 20, { attributes: { inverse: int(1) } }, size(3), axis(-3)),
  dft([2, 5, 2], 20, { attributes: { inverse: int(1), onesided: int(1) } }),
  // shorter and longer than the signal
  dft([2, 6, 1], 17, {}, size(4)),
  dft([2, 6, 1], 17, { attributes: { onesided: int(1) } }, size(9)),
  dft([1, 4, 2], 20, { attributes: { inverse: int(1) } }, size(7)),
  {
    op: "STFT",
    inputs: [tensor([2, 16, 1]), size(4), tensor([8], [0.1, 1]), size(8)],
    opsets: [17],
    differentiate: [0, 2],
  },
  { op: "STFT", inputs: [tensor([1, 11, 1]), size(3), undefined, size(5)], opsets: [17], differentiate: [0] },
  {
    op: "STFT",
    inputs: [tensor([2, 9, 2]), size(2), undefined, size(4)],
    attributes: { onesided: int(0) },
    opsets: [17],
    differentiate: [0],
  },
  {
    op: "MelWeightMatrix",
    inputs: [size(8), size(64), size(16000), hertz(0), hertz(8000)],
    opsets: [17],
  },
  {
    op: "MelWeightMatrix",
    inputs: [size(5), size(33), size(8192), hertz(20), hertz(3000.5)],
    attributes: { output_datatype: int(11) },
    opsets: [17],
  },
];
