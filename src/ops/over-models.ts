import { type Attributes, elementCount, int } from "../graph/graph.js";
import { math } from "./math.js";
import type { ModelAxis, ModelsCall, ModelsRule, OfModels } from "./op.js";
import { axisOf, reshape } from "./shapes.js";

/*
 * What the rules of several models at once (`Op.overModels`) are made of. A tensor of one model gets a further axis, the
 * models', before its axis 0 or before its axis 1; there it is one axis with the channels for ops that group those.
 */

/** One model's shape with the models before an axis. */
export const withModels = (shape: readonly number[], models: number, at: ModelAxis): number[] => [
  ...shape.slice(0, at),
  models,
  ...shape.slice(at),
];

/** One model's shape with axis `at` as long as those of all models one after another. */
export const oneAfterAnother = (shape: readonly number[], models: number, at: ModelAxis): number[] =>
  shape.map((n, axis) => (axis === at ? n * models : n));

/** An axis of one model's tensor, where the models stand before axis `at`. */
export const shifted = (axis: number, at: ModelAxis): number => (axis < at ? axis : axis + 1);

/** The wanted outputs of a node with its models before an axis. */
export const outputsAt = (names: readonly string[], at: ModelAxis | undefined): OfModels[] =>
  names.map((name) => ({ name, at }));

/** Whether all models have the same tensors at these inputs. */
export const isCommon = (call: ModelsCall, ...indices: readonly number[]): boolean =>
  indices.every((index) => call.at(index) === undefined);

/** Whether all models have the same tensors at the inputs from one on. */
export const isCommonFrom = (call: ModelsCall, first: number): boolean =>
  call.inputs.every((_, index) => index < first || call.at(index) === undefined);

/** The node's inputs with others in the first places. */
export const withFirst = (call: ModelsCall, ...first: readonly (string | undefined)[]): (string | undefined)[] =>
  call.inputs.map((input, i) => (i < first.length ? first[i] : input && call.x(i)));

/**
 * For ops that do with each sample of axis 0 the same: the models' samples are one batch. `batched` are the inputs that
 * have samples; all others must be the same for all models.
 */
export const asOneBatch =
  (batched: readonly number[] = [0]): ModelsRule =>
  (call) => {
    if (call.inputs.some((input, i) => input && !batched.includes(i) && call.at(i) !== undefined)) return undefined;
    const at = call.at(batched[0] as number) ?? 0;
    const folded = (index: number): string =>
      call.joint(index, at, oneAfterAnother(call.input(index).shape, call.models, 0));
    const inputs = call.inputs.map((input, i) => input && (batched.includes(i) ? folded(i) : call.x(i)));
    return outputsAt(call.again(inputs), at);
  };

/** For ops with data as input 0 and its axis as attribute `axis`; all other inputs must be the same for all models. */
export const alongOwnAxis =
  (otherwise: number): ModelsRule =>
  (call) => {
    if (!isCommonFrom(call, 1)) return undefined;
    const at = call.at(0) ?? 0;
    const attributes = { ...call.node.attributes, axis: int(shifted(axisOf(call, otherwise), at)) };
    return outputsAt(call.again(withFirst(call, call.joint(0, at)), attributes), at);
  };

/** For ops on whole tensors of one size with attribute `axis`: each input with the models first. */
export const allAlongAxis =
  (otherwise: number): ModelsRule =>
  (call) => {
    const inputs = call.inputs.map((input, i) => input && call.joint(i, 0));
    const attributes = { ...call.node.attributes, axis: int(shifted(axisOf(call, otherwise), 0)) };
    return outputsAt(call.again(inputs, attributes), 0);
  };

/** For ops that handle matrices of the last axes one by one. */
export const modelsFirst: ModelsRule = (call) => {
  if (!isCommonFrom(call, 1)) return undefined;
  return outputsAt(call.again(withFirst(call, call.joint(0, 0))), 0);
};

/** For views: the models stay where they are if axis 0 does. */
export const otherShape: ModelsRule = (call) => {
  const [from, to] = [call.input(0).shape, call.output(0).shape];
  const keepsFirst = to.length > 0 && from[0] === to[0];
  const at = keepsFirst ? (call.at(0) ?? 0) : 0;
  return [{ name: call.joint(0, at, withModels(to, call.models, at)), at }];
};

/** Where the models of operands stand best that are broadcast, or joined: as in the largest of them. */
export function axisOfLargest(call: ModelsCall, rank: number): ModelAxis {
  let [best, most] = [0 as ModelAxis, -1];
  call.inputs.forEach((input, i) => {
    const at = call.at(i);
    const size = input ? elementCount(input.shape) : 0;
    if (at === undefined || size <= most) return;
    // of a lower rank: its axis 1 is another one of the output's
    [best, most] = [at === 1 && input?.shape.length === rank ? 1 : 0, size];
  });
  return best;
}

/** One model's shape with ones before it, so that it has that rank. */
const padded = (shape: readonly number[], rank: number): number[] => [
  ...new Array<number>(Math.max(0, rank - shape.length)).fill(1),
  ...shape,
];

/** An input as it broadcasts beside a tensor of that rank (for one model) that has its models before an axis. */
export function beside(call: ModelsCall, index: number, rank: number, at: ModelAxis): string {
  const { shape } = call.input(index);
  const own = padded(shape, rank);
  if (call.at(index) === undefined)
    return at === 0 ? call.x(index) : reshape(call.b, call.x(index), withModels(own, 1, 1));
  // before an axis 0 of one element, or before axis 1: the same order
  return call.joint(index, shape.length === rank ? at : 0, withModels(own, call.models, at));
}

/** Whether an input can stand beside a tensor of that rank with its models before axis 1 without being moved for it. */
export const fitsBeside = (call: ModelsCall, index: number, rank: number, at: ModelAxis): boolean =>
  at === 0 || call.at(index) === undefined || padded(call.input(index).shape, rank)[0] === 1;

/** For ops on elements in the same place, operands broadcast: the models stay where they are. */
export const elementByElement: ModelsRule = (call) => {
  const { shape } = call.output(0);
  const rank = shape.length;
  const at = axisOfLargest(call, rank);
  const wide = call.inputs.map((input) => input && padded(input.shape, rank));
  // models and channels as one axis, unless an operand has one element for all channels of a model or for all models
  const isOne = at === 1 && wide.every((own, i) => !own || own[1] === (call.at(i) === undefined ? 1 : shape[1]));
  const inputs = wide.map((own, i) => {
    if (!own) return undefined;
    if (!isOne) return beside(call, i, rank, at);
    if (call.at(i) === undefined) return call.x(i);
    return call.joint(i, call.input(i).shape.length === rank ? 1 : 0, oneAfterAnother(own, call.models, 1));
  });
  return outputsAt(call.again(inputs), at);
};

/** For ops with one number for each channel of input 0 at all other inputs: the models' channels stand beside each other. */
export const channelsOfModels =
  (attributes: Attributes = {}): ModelsRule =>
  (call) => {
    const { models } = call;
    const x = call.joint(0, 1, oneAfterAnother(call.input(0).shape, models, 1));
    const vectors = call.inputs
      .slice(1)
      .map((vector, i) => vector && call.joint(i + 1, 0, oneAfterAnother(vector.shape, models, 0)));
    const [y = "", ...rest] = call.again([x, ...vectors], { ...call.node.attributes, ...attributes });
    return [...outputsAt([y], 1), ...outputsAt(rest, 0)];
  };

/** For norms over rows (input 0) with a scale and perhaps a bias: as if without them, which are multiplied and added after. */
export const rowsOfModels: ModelsRule = (call) => {
  const { b, node } = call;
  const rank = call.input(0).shape.length;
  const own = call.at(0) ?? 0;
  const at = [1, 2].every((i) => !call.inputs[i] || fitsBeside(call, i, rank, own)) ? own : 0;
  const axis = axisOf(call, -1);
  const attributes = { ...node.attributes, axis: int(shifted(axis, at)) };
  if (isCommonFrom(call, 1)) return outputsAt(call.again(withFirst(call, call.joint(0, at)), attributes), at);
  const { dtype } = call.input(1);
  const ones = b.constant(dtype, call.input(0).shape.slice(axis), 1);
  const options = { domain: node.domain, name: node.name, count: node.outputs.length };
  const [normal = "", ...statistics] = b.add(node.op, [call.joint(0, at), ones], attributes, options);
  const m = math(b);
  const scaled = m.mul(normal, beside(call, 1, rank, at));
  return outputsAt([call.inputs[2] ? m.add(scaled, beside(call, 2, rank, at)) : scaled, ...statistics], at);
};
