import { int, ints } from "../graph/graph.js";
import type { Cut, ModelsCall, ModelsRule, OfModels } from "./op.js";
import { axisOfLargest, outputsAt, shifted, withModels } from "./over-models.js";
import { axisOf, expandTo } from "./shapes.js";

/** Axes in another order; where axis 0 stays first, so do the models before axis 1. */
export const transposeOfModels: ModelsRule = (call) => {
  const { shape } = call.input(0);
  const perm = call.ints("perm") ?? shape.map((_, axis) => shape.length - 1 - axis);
  const own = call.at(0) ?? 0;
  const at = own === 1 && perm[0] === 0 ? 1 : 0;
  const moved = perm.map((axis) => shifted(axis, own));
  const order = [...moved.slice(0, at), own, ...moved.slice(at)];
  return outputsAt(call.again([call.joint(0, own)], { perm: ints(order) }), at);
};

/** Tensors one after another along an axis. */
export const concatOfModels: ModelsRule = (call) => {
  const at = axisOfLargest(call, call.input(0).shape.length);
  const inputs = call.inputs.map((input, i) => input && call.joint(i, at));
  return outputsAt(call.again(inputs, { ...call.node.attributes, axis: int(shifted(axisOf(call, 0), at)) }), at);
};

/** Parts along an axis. */
export const splitOfModels: ModelsRule = (call) => {
  const at = call.at(0) ?? 0;
  const sizes = call.inputs[1] && call.x(1);
  const attributes = { ...call.node.attributes, axis: int(shifted(axisOf(call, 0), at)) };
  return outputsAt(call.again(sizes ? [call.joint(0, at), sizes] : [call.joint(0, at)], attributes), at);
};

/** What is cut out of each axis. */
export function sliceOfModels(call: ModelsCall, cuts: readonly Cut[]): readonly OfModels[] {
  const { b } = call;
  const at = call.at(0) ?? 0;
  // an end before the first element is what ONNX writes as a number far below zero
  const ends = cuts.map(({ start, step, count }) => start + step * count).map((end) => (end < 0 ? -(2 ** 31) : end));
  const lists = [
    cuts.map(({ start }) => start),
    ends,
    cuts.map(({ axis }) => shifted(axis, at)),
    cuts.map(({ step }) => step),
  ];
  return outputsAt(call.again([call.joint(0, at), ...lists.map((list) => b.vector(list))], {}), at);
}

/** Repeated to a shape that it broadcasts to. */
export const expandOfModels: ModelsRule = (call) => {
  const [from, to] = [call.input(0).shape, call.output(0).shape];
  const at = from.length === to.length ? (call.at(0) ?? 0) : 0;
  const wide = [...new Array<number>(to.length - from.length).fill(1), ...from];
  const x = call.joint(0, at, withModels(wide, call.models, at));
  return [{ name: expandTo(call.b, x, withModels(to, call.models, at)), at }];
};

/** Repeated as often along each axis as the node says. */
export const tileOfModels: ModelsRule = (call) => {
  const at = call.at(0) ?? 0;
  const repeats = withModels(call.need(1), 1, at);
  return outputsAt(call.again([call.joint(0, at), call.b.vector(repeats)]), at);
};
