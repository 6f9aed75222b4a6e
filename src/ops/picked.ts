import { isFloat } from "../graph/graph.js";
import { math } from "./math.js";
import type { BodyCall, Op } from "./op.js";
import { axisOf, cast, sameShape, sumOver } from "./shapes.js";

/**
 * Where on the last axis of `data` the one index of each row points, as booleans of data's shape; undefined for indices
 * of another shape.
 */
function pointedAt(call: BodyCall): string | undefined {
  const { b } = call;
  const { shape } = call.input(0);
  const axis = shape.length - 1;
  const index = call.input(1);
  if (axisOf(call, 0) !== axis || !sameShape(index.shape, shape.with(axis, 1))) return undefined;
  const size = shape[axis] as number;
  // half the bytes of int64
  const given = cast(b, call.x(1), "int32");
  const whole = (value: number): string => b.constant("int32", [], value);
  const isNegative = b.op("Less", [given, whole(0)]);
  const at = b.op("Where", [isNegative, b.op("Add", [given, whole(size)]), given]);
  const places = b.constant(
    "int32",
    [size],
    Array.from({ length: size }, (_, i) => i),
  );
  return b.op("Equal", [at, places]);
}

/** GatherElements of one element of each row of floats: a sum with one term that is not zero. */
export const pickedParts: NonNullable<Op["parts"]> = {
  of: (call) => {
    const { dtype, shape } = call.input(0);
    const chosen = isFloat(dtype) ? pointedAt(call) : undefined;
    return chosen === undefined
      ? undefined
      : [sumOver(call.b, math(call.b).where(chosen, call.x(0), 0), [shape.length - 1])];
  },
  joins: true,
};

/** ScatterElements of one element into each row of floats, or added to one. */
export const placedParts: NonNullable<Op["parts"]> = {
  of: (call) => {
    const reduction = call.text("reduction", "none");
    if (!isFloat(call.input(0).dtype) || (reduction !== "none" && reduction !== "add")) return undefined;
    const chosen = pointedAt(call);
    if (!chosen) return undefined;
    const m = math(call.b);
    if (reduction === "none") return [m.where(chosen, call.x(2), call.x(0))];
    return [m.add(call.x(0), m.where(chosen, call.x(2), 0))];
  },
  joins: true,
};
