import { type DType, int, onnxNumbers, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import type { OpCall } from "./op.js";

/** The shape that tensors of these shapes broadcast to, by numpy's rules. Throws `shape mismatch: …`. */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1;
    for (const shape of shapes) {
      const n = shape[axis - rank + shape.length] ?? 1;
      if (n === 1 || n === size) continue;
      if (size !== 1)
        throw new Error(`shape mismatch: ${shapes.map((s) => `[${s}]`).join(" and ")} do not broadcast (axis ${axis})`);
      size = n;
    }
    return size;
  });
}

/** An axis counted from the front. Throws `axis out of range: …`. */
export function normalizeAxis(axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank)
    throw new Error(`axis out of range: ${axis} for rank ${rank}`);
  return normal;
}

/** Axes counted from the front, ascending. Throws `axis out of range: …` and `duplicate axis: …`. */
export function normalizeAxes(axes: readonly number[], rank: number): number[] {
  const normal = axes.map((axis) => normalizeAxis(axis, rank)).sort((p, q) => p - q);
  if (new Set(normal).size < normal.length) throw new Error(`duplicate axis: [${axes}] for rank ${rank}`);
  return normal;
}

/** The shape with its reduced axes set to 1 (`keep`), or dropped. */
export const reducedShape = (shape: readonly number[], axes: readonly number[], keep: boolean): number[] =>
  keep ? shape.map((n, axis) => (axes.includes(axis) ? 1 : n)) : shape.filter((_, axis) => !axes.includes(axis));

/** Whether two shapes are equal. */
export const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();

/** A tensor under another shape; itself if it has that shape already. */
export const reshape = (b: Emit, x: string, shape: readonly number[]): string =>
  sameShape(b.type(x).shape, shape)
    ? x
    : b.op("Reshape", [x, b.vector(shape)], shape.includes(0) ? { allowzero: int(1) } : {});

/** A tensor repeated to a shape that it broadcasts to; itself if it has that shape already. */
export const expandTo = (b: Emit, x: string, shape: readonly number[]): string =>
  sameShape(b.type(x).shape, shape) ? x : b.op("Expand", [x, b.vector(shape)]);

/** The sum over axes, which stay as axes of size 1 unless `keep` is false; itself if there are none. */
export const sumOver = (b: Emit, x: string, axes: readonly number[], keep = true): string =>
  axes.length ? b.op("ReduceSum", [x, b.vector(axes)], { keepdims: int(keep ? 1 : 0) }) : x;

/** Undoes broadcasting: sums a gradient over the axes along which a tensor of `shape` was repeated. */
export function reduceTo(b: Emit, gradient: string, shape: readonly number[]): string {
  const from = b.type(gradient).shape;
  const lead = from.length - shape.length;
  const axes = from.flatMap((n, axis) => (axis < lead || (shape[axis - lead] === 1 && n !== 1) ? [axis] : []));
  const keep = axes.some((axis) => axis >= lead);
  return reshape(b, sumOver(b, gradient, axes, keep), shape);
}

/** A tensor in another element type; itself if it has that type already. */
export const cast = (b: Emit, x: string, dtype: DType): string =>
  b.type(x).dtype === dtype ? x : b.op("Cast", [x], { to: int(onnxNumbers[dtype]) });

/** Attribute `axis` counted from the front of input 0. */
export const axisOf = (call: OpCall, otherwise: number): number =>
  normalizeAxis(call.int("axis", otherwise), call.input(0).shape.length);

/** Zeros made when they are needed; a constant would stay in memory for the whole step. */
export const zeros = (b: Emit, { dtype, shape }: TensorType): string =>
  b.op("Expand", [
    b.constant(
      dtype,
      shape.map(() => 1),
      0,
    ),
    b.vector(shape),
  ]);
