import { NodeError } from "../graph/errors.js";
import { elementCount, int, type TensorType } from "../graph/graph.js";
import { composite } from "./composite.js";
import { native, noFlops, ofOutput0, sameType } from "./kinds.js";
import type { OpCall, OpTable } from "./op.js";
import { normalizeAxis, reshape } from "./shapes.js";

/** Positions that a constant condition picks, and the axis that they lie on; undefined for the flattened input. */
function picked(call: OpCall): { axis: number | undefined; places: number[] } {
  const { shape } = call.input(0);
  const axis = call.node.attributes.axis ? normalizeAxis(call.int("axis", 0), shape.length) : undefined;
  const size = axis === undefined ? elementCount(shape) : (shape[axis] as number);
  const condition = call.need(1);
  if (condition.length > size)
    throw new Error(`shape mismatch: ${condition.length} conditions for ${size} (op Compress, node ${call.node.name})`);
  return { axis, places: condition.flatMap((chosen, i) => (chosen ? [i] : [])) };
}

/** For each axis that CenterCropPad gives another size: its old size and its new one. */
function resizedAxes(call: OpCall): { axis: number; from: number; to: number }[] {
  const { shape } = call.input(0);
  const sizes = call.need(1);
  const axes = (call.ints("axes") ?? shape.map((_, axis) => axis)).map((axis) => normalizeAxis(axis, shape.length));
  if (sizes.length !== axes.length)
    throw new Error(`shape mismatch: [${sizes}] for axes [${axes}] (op CenterCropPad, node ${call.node.name})`);
  return axes.flatMap((axis, i) => {
    const [from, to] = [shape[axis] as number, sizes[i] as number];
    return from === to ? [] : [{ axis, from, to }];
  });
}

/** Ops that choose or turn round parts of a tensor. */
export const selection: OpTable = {
  Compress: composite(
    (call) => {
      const { dtype, shape } = call.input(0);
      const { axis, places } = picked(call);
      return [{ dtype, shape: axis === undefined ? [places.length] : shape.with(axis, places.length) }];
    },
    (call) => {
      const { axis, places } = picked(call);
      const { b } = call;
      const from = axis === undefined ? reshape(b, call.x(0), [elementCount(call.input(0).shape)]) : call.x(0);
      return [b.op("Gather", [from, b.vector(places)], { axis: int(axis ?? 0) })];
    },
    { flops: noFlops, hostInputs: [1] },
  ),
  /** ScatterElements' name before opset 11. */
  Scatter: composite(sameType, (call) => [
    call.b.op("ScatterElements", [call.x(0), call.x(1), call.x(2)], { axis: int(call.int("axis", 0)) }),
  ]),
  /** The middle of each axis if it is to shrink, zeros around it if it is to grow. */
  CenterCropPad: composite(
    (call): TensorType[] => {
      const { dtype } = call.input(0);
      const shape = [...call.input(0).shape];
      for (const { axis, to } of resizedAxes(call)) shape[axis] = to;
      return [{ dtype, shape }];
    },
    (call) => {
      const { b } = call;
      const rank = call.input(0).shape.length;
      const all = resizedAxes(call);
      const cuts = all.filter(({ from, to }) => to < from);
      const starts = cuts.map(({ from, to }) => Math.floor((from - to) / 2));
      const ends = cuts.map(({ to }, i) => (starts[i] as number) + to);
      const axes = cuts.map(({ axis }) => axis);
      const cut = cuts.length
        ? b.op("Slice", [call.x(0), b.vector(starts), b.vector(ends), b.vector(axes)])
        : call.x(0);
      const pads = new Array<number>(2 * rank).fill(0);
      for (const { axis, from, to } of all) {
        if (to < from) continue;
        pads[axis] = Math.floor((to - from) / 2);
        pads[axis + rank] = to - from - (pads[axis] as number);
      }
      return [pads.some((pad) => pad > 0) ? b.op("Pad", [cut, b.vector(pads)]) : cut];
    },
    { flops: noFlops, hostInputs: [1] },
  ),
  /** The first elements of each sequence in reverse: turning them round again undoes it. */
  ReverseSequence: native(
    (call) => {
      const { shape } = call.input(0);
      const axes = [call.int("batch_axis", 1), call.int("time_axis", 0)];
      if (shape.length < 2) throw new NodeError(`shape mismatch: ReverseSequence of [${shape}]`, call.node);
      const batch = shape[axes[0] as number];
      if (
        axes.some((axis) => axis < 0 || axis > 1) ||
        axes[0] === axes[1] ||
        call.input(1).shape.join() !== String(batch)
      )
        throw new Error(
          `shape mismatch: lengths [${call.input(1).shape}] of [${shape}] (op ReverseSequence, node ${call.node.name})`,
        );
      return sameType(call);
    },
    ofOutput0((call, dY) => {
      const axes = { batch_axis: int(call.int("batch_axis", 1)), time_axis: int(call.int("time_axis", 0)) };
      return [call.b.op("ReverseSequence", [dY, call.x(1)], axes)];
    }),
    { flops: noFlops, pins: "always", defaults: { batch_axis: int(1), time_axis: int(0) } },
  ),
};
