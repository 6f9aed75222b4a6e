import { NodeError } from "../graph/errors.js";
import { type DType, dtypeOfNumber, elementCount, ints, type TensorType } from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import { composite } from "./composite.js";
import { halfOf, matrixOf, mostElements, realOf, type Transform, transformed } from "./dft.js";
import { native } from "./kinds.js";
import { math } from "./math.js";
import type { OpCall, OpTable } from "./op.js";
import { cast, normalizeAxis, reshape } from "./shapes.js";

/** A positive whole number that an input gives. */
function sizeOf(call: OpCall, index: number, what: string): number {
  const size = call.needOne(index);
  if (!Number.isSafeInteger(size) || size < 1) throw new NodeError(`${what} of ${call.node.op} is ${size}`, call.node);
  return size;
}

/** Axis and transform of a DFT node of either opset. Throws `shape mismatch: …`. */
function dftOf(call: OpCall): { axis: number; transform: Transform; real: boolean } {
  const { shape } = call.input(0);
  const rank = shape.length;
  const given = call.inputs[2] ? call.needOne(2) : call.opset < 20 ? call.int("axis", 1) : call.int("axis", -2);
  const axis = normalizeAxis(given, rank);
  const parts = shape[rank - 1] as number;
  if (rank < 2 || axis === rank - 1 || parts > 2 || parts < 1)
    throw new NodeError(
      `shape mismatch: DFT along axis ${given} of [${shape}], whose last axis is real (1) or complex (2)`,
      call.node,
    );
  const inverse = call.int("inverse", 0) !== 0;
  const half = call.int("onesided", 0) !== 0;
  const size = shape[axis] as number;
  // one side of the spectrum gives real numbers back
  const real = inverse && half;
  const length = call.inputs[1] ? sizeOf(call, 1, "dft_length") : real ? 2 * (size - 1) : size;
  if (half && !inverse && parts > 1)
    throw new NodeError(
      `onesided DFT of complex numbers [${shape}]: one side holds all of a real signal only`,
      call.node,
    );
  return {
    axis,
    transform: { given: size, length, bins: half && !inverse ? halfOf(length) : length, parts, inverse },
    real,
  };
}

/** Frames of a short-time transform. Throws `shape mismatch: …`. */
function framesOf(call: OpCall): {
  batch: number;
  parts: number;
  step: number;
  length: number;
  frames: number;
  bins: number;
} {
  const { shape } = call.input(0);
  const [batch = 0, samples = 0, parts = 1] = shape;
  const step = sizeOf(call, 1, "frame_step");
  const window = call.inputs[2]?.shape;
  const length = call.inputs[3] ? sizeOf(call, 3, "frame_length") : window?.[0];
  if (length === undefined) throw new NodeError("STFT lacks both window and frame_length", call.node);
  if (
    shape.length < 2 ||
    shape.length > 3 ||
    parts > 2 ||
    parts < 1 ||
    length > samples ||
    (window && window.join() !== String(length))
  )
    throw new NodeError(
      `shape mismatch: frames of ${length} elements${window ? ` with a window [${window}]` : ""} of a signal [${shape}]`,
      call.node,
    );
  const half = call.int("onesided", 1) !== 0;
  if (half && parts > 1) throw new NodeError(`onesided STFT of complex numbers [${shape}]: give onesided=0`, call.node);
  const frames = Math.floor((samples - length) / step) + 1;
  return { batch, parts, step, length, frames, bins: half ? halfOf(length) : length };
}

/** The matrix that takes spectra to mel scale: [dft_length/2 + 1, num_mel_bins] triangles. */
function melWeights(call: OpCall): { dtype: DType; shape: number[]; values: number[] } {
  const bins = sizeOf(call, 0, "num_mel_bins");
  const length = sizeOf(call, 1, "dft_length");
  const rate = sizeOf(call, 2, "sample_rate");
  const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
  const [low, high] = [mel(call.needOne(3)), mel(call.needOne(4))];
  const rows = halfOf(length);
  if (rows * bins > mostElements)
    throw new NodeError(`MelWeightMatrix of ${rows}×${bins} elements is too large`, call.node);
  const places = Array.from({ length: bins + 2 }, (_, i) => {
    const hertz = 700 * (10 ** ((low + (i * (high - low)) / (bins + 2)) / 2595) - 1);
    return Math.floor(((length + 1) * hertz) / rate);
  });
  if (!places.every((place) => place >= 0 && place < rows))
    throw new NodeError(
      `mel frequencies from ${call.need(3)} to ${call.need(4)} Hz are not within the spectrum of ${rate} Hz`,
      call.node,
    );
  const values = new Array<number>(rows * bins).fill(0);
  for (let i = 0; i < bins; i++) {
    const [left, centre, right] = places.slice(i) as [number, number, number];
    const set = (row: number, value: number): void => {
      values[row * bins + i] = value;
    };
    if (centre === left) set(centre, 1);
    else for (let j = left; j <= centre; j++) set(j, (j - left) / (centre - left));
    for (let j = centre; j < right; j++) set(j, (right - j) / (right - centre));
  }
  return { dtype: dtypeOfNumber(call.int("output_datatype", 1), call.node.name), shape: [rows, bins], values };
}

/** Fourier transforms, as products with matrices of sines and cosines: gradients are products with the same matrices. */
export const fourier: OpTable = {
  DFT: composite(
    (call): TensorType[] => {
      const { axis, transform, real } = dftOf(call);
      const { dtype, shape } = call.input(0);
      return [{ dtype, shape: shape.with(axis, transform.bins).with(-1, real ? 1 : 2) }];
    },
    (call) => {
      const { b } = call;
      const { axis, transform, real } = dftOf(call);
      const { shape } = call.input(0);
      const rank = shape.length;
      const others = shape.map((_, i) => i).filter((i) => i !== axis && i < rank - 1);
      const perm = [...others, axis, rank - 1];
      const isMoved = perm.some((from, i) => from !== i);
      const x = isMoved ? b.op("Transpose", [call.x(0)], { perm: ints(perm) }) : call.x(0);
      const rest = others.map((i) => shape[i] as number);
      const flat = reshape(b, x, [elementCount(rest), transform.given, transform.parts]);
      const made = real ? realOf(b, flat, transform) : transformed(b, flat, transform);
      const shaped = reshape(b, made, [...rest, transform.bins, real ? 1 : 2]);
      const back = perm.map((_, i) => perm.indexOf(i));
      return [isMoved ? b.op("Transpose", [shaped], { perm: ints(back) }) : shaped];
    },
    { hostInputs: [1, 2] },
  ),
  /** A convolution with the windowed sines as filters, one frame a step. */
  STFT: composite(
    (call): TensorType[] => {
      const { batch, frames, bins } = framesOf(call);
      return [{ dtype: call.input(0).dtype, shape: [batch, frames, bins, 2] }];
    },
    (call) => {
      const { b } = call;
      const { batch, parts, step, length, frames, bins } = framesOf(call);
      const { dtype, shape } = call.input(0);
      if (length * parts * bins * 2 > mostElements)
        throw new NodeError(
          `STFT of frames of ${length} elements: at most ${Math.floor(Math.sqrt(mostElements / 2))} fit`,
          call.node,
        );
      const matrix = matrixOf({ given: length, length, bins, parts, inverse: false }, length);
      const filters = Array.from({ length: bins * 2 * parts * length }, (_, i) => {
        const [out, part, at] = [Math.floor(i / (parts * length)), Math.floor(i / length) % parts, i % length];
        return matrix[(at * parts + part) * bins * 2 + out] as number;
      });
      const sines = b.constant(dtype, [bins * 2, parts, length], filters);
      const weight = call.inputs[2] ? math(b).mul(sines, cast(b, call.x(2), dtype)) : sines;
      const signal = reshape(b, call.x(0), [batch, shape[1] as number, parts]);
      const channels = b.op("Transpose", [signal], { perm: ints([0, 2, 1]) });
      const made = b.op("Conv", [channels, weight], { strides: ints([step]), kernel_shape: ints([length]) });
      return [reshape(b, b.op("Transpose", [made], { perm: ints([0, 2, 1]) }), [batch, frames, bins, 2])];
    },
    // a window is none of the weights
    { hostInputs: [1, 3], buffers: { 2: "window" } },
  ),
  MelWeightMatrix: native(
    (call) => {
      const { dtype, shape } = melWeights(call);
      return [{ dtype, shape }];
    },
    "zero",
    {
      types: null,
      hostInputs: [0, 1, 2, 3, 4],
      value: (call) => {
        const { dtype, shape, values } = melWeights(call);
        return [{ dtype, shape, data: bytesOf(dtype, values) }];
      },
      body: (call) => {
        const { dtype, shape, values } = melWeights(call);
        return [call.b.constant(dtype, shape, values)];
      },
    },
  ),
};
