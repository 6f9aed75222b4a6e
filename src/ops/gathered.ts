import { elementCount, int, is16Bit, type TensorType, text } from "../graph/graph.js";
import { ofOutput0 } from "./kinds.js";
import type { Cut, GradientCall, GradientRule, Op, OpCall } from "./op.js";
import { axisOf, cast, reshape, zeros } from "./shapes.js";

const add = { reduction: text("add") };

/** The places of a known index along an axis of that size, if they are evenly spaced; undefined if they are not. */
function evenly(index: readonly number[], size: number, axis: number): Cut | undefined {
  const places = index.map((at) => (at < 0 ? at + size : at));
  const [start = 0, second = start + 1] = places;
  const step = second - start;
  const isEven = step !== 0 && places.every((at, i) => at === start + i * step);
  return isEven && places.length > 0 ? { axis, start, step, count: places.length } : undefined;
}

/** The places that a Gather takes, if they are known and evenly spaced. */
function cutOf(call: OpCall): Cut | undefined {
  const axis = axisOf(call, 0);
  const known = call.constant(1);
  return known && evenly(known, call.input(0).shape[axis] as number, axis);
}

/** The same, as an op's `takes`. */
export const takenByGather: Op["takes"] = (call) => {
  const cut = cutOf(call);
  return cut && [[cut]];
};

/** The gradient of what a Gather reads: its rows' gradients, added where they came from; those of 16 bits in float32. */
function scattered(call: GradientCall, given: string, axis: number): string {
  const { b } = call;
  const { dtype, shape } = call.input(0);
  if (!is16Bit(dtype)) return scatteredRows(call, given, axis, { dtype, shape });
  const sum = scatteredRows(call, cast(b, given, "float32"), axis, { dtype: "float32", shape });
  return cast(b, sum, dtype);
}

function scatteredRows(call: GradientCall, dY: string, axis: number, data: TensorType): string {
  const { b } = call;
  const count = elementCount(call.input(1).shape);
  const inner = elementCount(data.shape.slice(axis + 1));
  const outer = elementCount(data.shape.slice(0, axis));
  const size = data.shape[axis] as number;
  const flatIndex = b.op("Reshape", [call.x(1), b.vector([count])]);
  if (axis === 0) {
    const rows = b.op("Reshape", [dY, b.vector([count, inner])]);
    // ScatterND alone among these ops takes no int32
    const index2 = cast(b, b.op("Reshape", [flatIndex, b.vector([count, 1])]), "int64");
    const sum = b.op("ScatterND", [zeros(b, { dtype: data.dtype, shape: [size, inner] }), index2, rows], add);
    return b.op("Reshape", [sum, b.vector(data.shape)]);
  }
  const blocks = b.op("Reshape", [dY, b.vector([outer, count, inner])]);
  const index3 = b.op("Expand", [
    b.op("Reshape", [flatIndex, b.vector([1, count, 1])]),
    b.vector([outer, count, inner]),
  ]);
  const sum = b.op("ScatterElements", [zeros(b, { dtype: data.dtype, shape: [outer, size, inner] }), index3, blocks], {
    axis: int(1),
    ...add,
  });
  return b.op("Reshape", [sum, b.vector(data.shape)]);
}

/** The gradient of what a Gather reads at a single known place: zeros around the row. */
function surrounded(call: GradientCall, dY: string, { axis, start }: Cut): string {
  const { b } = call;
  const { shape } = call.input(0);
  const [outer, inner] = [elementCount(shape.slice(0, axis)), elementCount(shape.slice(axis + 1))];
  const row = b.op("Reshape", [dY, b.vector([outer, 1, inner])]);
  const padded = b.op("Pad", [row, b.vector([0, start, 0, 0, (shape[axis] as number) - 1 - start, 0])]);
  return b.op("Reshape", [padded, b.vector(shape)]);
}

/**
 * Gather's rule: where the index is known and its places are evenly spaced, they are a part of the whole that is joined
 * with what others take (a class token beside the rest, the trips of a loop); else the rows are added where they came
 * from, and so are several places that nothing else reads (position embeddings).
 */
export const gatherGradient: GradientRule = ofOutput0((call, dY) => {
  const { shape } = call.input(0);
  const axis = axisOf(call, 0);
  const cut = cutOf(call);
  if (!cut) return [scattered(call, dY, axis)];
  return [
    (isOnly) => {
      if (isOnly) return cut.count > 1 ? scattered(call, dY, axis) : surrounded(call, dY, cut);
      return { gradient: reshape(call.b, dY, shape.with(axis, cut.count)), cuts: [cut] };
    },
  ];
});
