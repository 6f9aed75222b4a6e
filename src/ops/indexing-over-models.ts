import { int } from "../graph/graph.js";
import { math } from "./math.js";
import type { ModelsCall, ModelsRule } from "./op.js";
import { isCommon, outputsAt, shifted } from "./over-models.js";
import { axisOf, expandTo } from "./shapes.js";

/** The numbers of the models, 0 on, in the type of a node's indices, under a shape of one element for each model. */
const numbers = (call: ModelsCall, shape: readonly number[], step = 1): string =>
  call.b.constant(
    call.input(1).dtype,
    shape,
    Array.from({ length: call.models }, (_, i) => i * step),
  );

/** The models' tables one below the other, each model's indices moved to its own: they may be negative. */
function fromOneTable(call: ModelsCall): string[] {
  const { b, models } = call;
  const [rows = 0, ...row] = call.input(0).shape;
  const index = call.joint(1, 0);
  const { dtype, shape } = b.type(index);
  const m = math(b);
  const own = b.op("Mod", [index, b.constant(dtype, [], rows)]);
  const places = m.add(own, numbers(call, [models, ...shape.slice(1).map(() => 1)], rows));
  return call.again([call.joint(0, 0, [models * rows, ...row]), places], { axis: int(0) });
}

/** Rows by index. */
export const gatherOfModels: ModelsRule = (call) => {
  const axis = axisOf(call, 0);
  const rank = call.input(1).shape.length;
  if (isCommon(call, 1)) {
    // the indices' axes come before the models where those stand before axis 1
    const at = axis === 0 ? 0 : (call.at(0) ?? 0);
    return outputsAt(call.again([call.joint(0, at), call.x(1)], { axis: int(shifted(axis, at)) }), at);
  }
  if (axis === 0 && isCommon(call, 0)) return outputsAt(call.again([call.x(0), call.joint(1, 0)]), 0);
  if (axis === 0) return outputsAt(fromOneTable(call), 0);
  if (axis === 1 && isCommon(call, 0) && rank > 0) return outputsAt(call.again([call.x(0), call.joint(1, 0)]), 1);
  return undefined;
};

/** Slices by index: the models are one more axis of the batch. */
export const slicesOfModels: ModelsRule = (call) =>
  outputsAt(call.again([call.joint(0, 0), call.joint(1, 0)], { batch_dims: int(call.int("batch_dims", 0) + 1) }), 0);

/** Slices put in their places: the model's number stands before each index. */
export const placesOfModels: ModelsRule = (call) => {
  const { b, models } = call;
  const index = call.joint(1, 0);
  const { shape } = b.type(index);
  const first = expandTo(b, numbers(call, [models, ...shape.slice(1).map(() => 1)]), [...shape.slice(0, -1), 1]);
  const places = b.op("Concat", [first, index], { axis: int(shape.length - 1) });
  return outputsAt(call.again([call.joint(0, 0), places, call.joint(2, 0)]), 0);
};
