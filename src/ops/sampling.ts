import { NodeError } from "../graph/errors.js";
import { elementCount, int, ints, type TensorType, text } from "../graph/graph.js";
import { composite } from "./composite.js";
import type { Emit } from "./emit.js";
import { native } from "./kinds.js";
import { math } from "./math.js";
import type { OpCall, OpTable } from "./op.js";
import { cast, reshape } from "./shapes.js";

const modes: ReadonlyMap<string, "linear" | "nearest" | "cubic"> = new Map([
  ["bilinear", "linear"],
  ["linear", "linear"],
  ["nearest", "nearest"],
  ["bicubic", "cubic"],
  ["cubic", "cubic"],
]);

/** How GridSample interpolates, by either opset's names. Throws `unsupported: …`. */
function modeOf(call: OpCall): "linear" | "nearest" | "cubic" {
  const given = call.text("mode", "linear");
  const mode = modes.get(given);
  if (!mode || (mode === "cubic" && call.input(0).shape.length !== 4))
    throw new NodeError(`unsupported: GridSample mode=${given} of [${call.input(0).shape}]`, call.node);
  return mode;
}

/** One element that a sample takes along one axis: its index as int64, and its weight (1 if undefined). */
interface Tap {
  readonly index: string;
  readonly weight: string | undefined;
}

interface Sampling {
  readonly size: number;
  readonly alignCorners: boolean;
  readonly padding: string;
  readonly isNearest: boolean;
}

/** The coordinate mirrored at both ends until it lies between them. */
function reflected(b: Emit, x: string, low: number, high: number): string {
  const m = math(b);
  const span = high - low;
  if (span === 0) return m.mul(x, 0);
  const shifted = m.sub(x, low);
  const phase = m.sub(shifted, m.mul(m.floor(m.div(shifted, 2 * span)), 2 * span));
  return m.sub(high, m.abs(m.sub(phase, span)));
}

/** The elements of an axis that positions from −1 to 1 fall between. */
function tapsOf(b: Emit, position: string, { size, alignCorners, padding, isNearest }: Sampling): Tap[] {
  const m = math(b);
  const raw = alignCorners
    ? m.mul(m.add(position, 1), (size - 1) / 2)
    : m.sub(m.mul(m.add(position, 1), size / 2), 0.5);
  const bounded = (x: string): string => b.op("Clip", [x, b.scalar(0, x), b.scalar(size - 1, x)]);
  const mirrored = (): string => (alignCorners ? reflected(b, raw, 0, size - 1) : reflected(b, raw, -0.5, size - 0.5));
  const x = padding === "zeros" ? raw : bounded(padding === "border" ? raw : mirrored());
  const place = (at: string, share: string | undefined): Tap => {
    const index = cast(b, bounded(at), "int64");
    if (padding !== "zeros") return { index, weight: share };
    const inside = m.and(m.greaterOrEqual(at, 0), m.lessOrEqual(at, size - 1));
    return { index, weight: share ? m.masked(inside, share) : cast(b, inside, b.type(x).dtype) };
  };
  if (isNearest) return [place(b.op("Round", [x]), undefined)];
  const low = m.floor(x);
  const part = m.sub(x, low);
  return [place(low, m.sub(1, part)), place(m.add(low, 1), part)];
}

/** Every combination of one tap for each axis: the place in the flattened image, and the product of the weights. */
function corners(b: Emit, axes: readonly (readonly Tap[])[], sizes: readonly number[]): Tap[] {
  const m = math(b);
  return axes.reduce<Tap[]>(
    (all, taps, axis) =>
      all.flatMap(({ index, weight }) =>
        taps.map((tap): Tap => {
          const both = weight && tap.weight ? m.mul(weight, tap.weight) : (weight ?? tap.weight);
          if (axis === 0) return { index: tap.index, weight: both };
          const row = m.mul(index, b.constant("int64", [], sizes[axis] as number));
          return { index: m.add(row, tap.index), weight: both };
        }),
      ),
    [{ index: "", weight: undefined }],
  );
}

const sampledType = (call: OpCall): TensorType[] => {
  const [x, grid] = [call.input(0), call.input(1)];
  const rank = x.shape.length;
  if (grid.shape.length !== rank || grid.shape.at(-1) !== rank - 2 || grid.shape[0] !== x.shape[0])
    throw new Error(`shape mismatch: grid [${grid.shape}] for [${x.shape}] (op GridSample, node ${call.node.name})`);
  modeOf(call);
  return [{ dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...grid.shape.slice(1, -1)] }];
};

/** Sampling of images at positions that a tensor holds. */
export const sampling: OpTable = {
  /** Linear and nearest sampling as rows gathered from the image, channels last; cubic stays ONNX Runtime's kernel. */
  GridSample: native(sampledType, "none", {
    types: { T1: 0, T2: 1 },
    choices: { mode: [...modes.keys()], padding_mode: ["zeros", "border", "reflection"] },
    defaults: { mode: text("bilinear"), padding_mode: text("zeros"), align_corners: int(0) },
    flops: (call, outputs) => 2 ** (call.input(0).shape.length - 1) * elementCount(outputs[0]?.shape ?? []),
    normalize: (call) => {
      const { b, node } = call;
      const m = math(b);
      const mode = modeOf(call);
      const padding = call.text("padding_mode", "zeros");
      const alignCorners = call.int("align_corners", 0) !== 0;
      if (mode === "cubic") {
        // opset 16's name, which the kernel that is found first knows
        if (call.text("mode", "") === "bicubic") return undefined;
        const attributes = { ...node.attributes, mode: text("bicubic") };
        return [b.op("GridSample", [call.x(0), call.x(1)], attributes, { name: node.name })];
      }
      const [n = 1, channels = 1, ...sizes] = call.input(0).shape;
      const points = call.input(1).shape.slice(1, -1);
      const rank = sizes.length;
      const count = elementCount(points);
      // positions of the last axis come first
      const parts = b.add("Split", [call.x(1), b.vector(sizes.map(() => 1))], { axis: int(-1) }, { count: rank });
      const taps = sizes.map((size, axis) => {
        const position = cast(b, reshape(b, parts[rank - 1 - axis] as string, [n, count]), call.input(0).dtype);
        return tapsOf(b, position, { size, alignCorners, padding, isNearest: mode === "nearest" });
      });
      const last = [0, ...sizes.map((_, i) => i + 2), 1];
      const rows = reshape(b, b.op("Transpose", [call.x(0)], { perm: ints(last) }), [
        n * elementCount(sizes),
        channels,
      ]);
      const first = b.constant(
        "int64",
        [n, 1],
        Array.from({ length: n }, (_, i) => i * elementCount(sizes)),
      );
      const sum = corners(b, taps, sizes)
        .map(({ index, weight }) => {
          const flat = reshape(b, n === 1 ? index : m.add(index, first), [n * count]);
          const taken = b.op("Gather", [rows, flat], { axis: int(0) });
          return weight ? m.mul(taken, reshape(b, weight, [n * count, 1])) : taken;
        })
        .reduce((p, q) => m.add(p, q));
      const back = [0, rank + 1, ...sizes.map((_, i) => i + 1)];
      return [b.op("Transpose", [reshape(b, sum, [n, ...points, channels])], { perm: ints(back) })];
    },
  }),
  /** Positions of an image's elements under an affine map: a product with the positions of all elements. */
  AffineGrid: composite(
    (call) => {
      const [n = 1, , ...sizes] = call.need(1);
      return [{ dtype: call.input(0).dtype, shape: [n, ...sizes, sizes.length] }];
    },
    (call) => {
      const { b } = call;
      const [n = 1, , ...sizes] = call.need(1);
      const alignCorners = call.int("align_corners", 0) !== 0;
      const at = (i: number, size: number): number =>
        alignCorners ? (size === 1 ? 0 : (2 * i) / (size - 1) - 1) : (2 * i + 1) / size - 1;
      const positions = sizes.reduce<number[][]>(
        (all, size) => all.flatMap((row) => Array.from({ length: size }, (_, i) => [at(i, size), ...row])),
        [[1]],
      );
      const base = b.constant(call.input(0).dtype, [1, positions.length, sizes.length + 1], positions.flat());
      const turned = b.op("Transpose", [call.x(0)], { perm: ints([0, 2, 1]) });
      return [reshape(b, b.op("MatMul", [base, turned]), [n, ...sizes, sizes.length])];
    },
    { since: 20, hostInputs: [1], flops: (_, outputs) => 8 * elementCount(outputs[0]?.shape ?? []) },
  ),
};
