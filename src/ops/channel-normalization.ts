import { NodeError } from "../graph/errors.js";
import { elementCount, float, int } from "../graph/graph.js";
import { native, ofOutput0, sameType } from "./kinds.js";
import { math } from "./math.js";
import { affineGradients, axesFrom, centre, epsilonOf, normalizing, throughNormalized } from "./normalized.js";
import type { BodyCall, Op, OpCall, OpTable } from "./op.js";
import { channelsOfModels } from "./over-models.js";
import { reduceTo, reshape, sameShape } from "./shapes.js";

const instanceAxes = (call: OpCall): number[] => axesFrom(2, call.input(0).shape.length);

/** The shape under which a vector of channels broadcasts over X. */
const channelShape = (call: OpCall, index: number): number[] => [
  ...call.input(index).shape,
  ...new Array<number>(call.input(0).shape.length - 2).fill(1),
];

const instance: Op = native(
  (call) => {
    const { shape } = call.input(0);
    for (const i of [1, 2])
      if (shape.length < 3 || !sameShape(call.input(i).shape, [shape[1] as number]))
        throw new NodeError(`shape mismatch: [${call.input(i).shape}] for the channels of [${shape}]`, call.node);
    return sameType(call);
  },
  ofOutput0((call, dY) => {
    const { b } = call;
    const axes = instanceAxes(call);
    const { centred, inverse } = centre(b, call.x(0), axes, epsilonOf(call));
    const hat = math(b).mul(centred, inverse);
    return affineGradients(call, dY, {
      hat,
      scaleShape: channelShape(call, 1),
      through: (g) => throughNormalized(b, g, hat, inverse, axes),
    });
  }),
  {
    ...normalizing,
    overModels: channelsOfModels(),
    defaults: { epsilon: float(1e-5) },
    body: (call) => {
      const { b, x } = call;
      const m = math(b);
      const { centred, inverse } = centre(b, x(0), instanceAxes(call), epsilonOf(call));
      const wide = (i: number): string => reshape(b, x(i), channelShape(call, i));
      return [m.add(m.mul(centred, m.mul(inverse, wide(1))), wide(2))];
    },
  },
);

/** X as [N, groups, the rest], the shape over whose last axis group normalization runs. */
function groupShape(call: OpCall): number[] {
  const { shape } = call.input(0);
  const [n = 1, c = 1] = shape;
  const groups = call.int("num_groups", 1);
  const vectors = [1, 2].map((i) => call.input(i).shape.join());
  const given = Number(vectors[0]);
  if (vectors[0] !== vectors[1] || (given !== groups && given !== c))
    throw new NodeError(`shape mismatch: scale [${vectors[0]}], bias [${vectors[1]}] for ${c} channels`, call.node);
  if (shape.length < 2 || c % groups)
    throw new NodeError(`shape mismatch: ${c} channels in ${groups} groups`, call.node);
  return [n, groups, elementCount(shape) / (n * groups)];
}

/** Scale or bias of each channel; before opset 21 there is one for each group. */
function groupVector(call: BodyCall, index: number): string {
  const { b } = call;
  const channels = call.input(0).shape[1] as number;
  const [size = 1] = call.input(index).shape;
  if (size === channels) return call.x(index);
  const repeated = b.op("Expand", [reshape(b, call.x(index), [size, 1]), b.vector([size, channels / size])]);
  return reshape(b, repeated, [channels]);
}

const group: Op = native(
  (call) => {
    groupShape(call);
    return sameType(call);
  },
  ofOutput0((call, dY) => {
    const { b } = call;
    const { shape } = call.input(0);
    const grouped = groupShape(call);
    const { centred, inverse } = centre(b, reshape(b, call.x(0), grouped), [2], epsilonOf(call));
    const hat = math(b).mul(centred, inverse);
    const n = grouped[0] as number;
    // scale is one for each channel, or one for each group: [groups, channels of a group, 1] fits both
    const [size = 1] = call.input(1).shape;
    const fine = [n, size, elementCount(shape) / (n * size)];
    const m = math(b);
    const fold = (gradient: string, i: number): string =>
      reshape(b, reduceTo(b, reshape(b, gradient, fine), [1, size, 1]), call.input(i).shape);
    const scaled = (): string => m.mul(reshape(b, dY, fine), reshape(b, call.x(1), [1, size, 1]));
    return [
      call.wants(0)
        ? reshape(b, throughNormalized(b, reshape(b, scaled(), grouped), hat, inverse, [2]), shape)
        : undefined,
      call.wants(1) ? fold(m.mul(reshape(b, dY, grouped), hat), 1) : undefined,
      call.wants(2) ? fold(dY, 2) : undefined,
    ];
  }),
  {
    ...normalizing,
    // opset 18 has one scale and bias for each group, 21 one for each channel
    since: 21,
    overModels: (call) => channelsOfModels({ num_groups: int(call.int("num_groups", 1) * call.models) })(call),
    types: null,
    body: (call) => {
      const { b } = call;
      const m = math(b);
      const { dtype, shape } = call.input(0);
      const grouped = groupShape(call);
      const groups = grouped[1] as number;
      const unit = [b.constant(dtype, [groups], 1), b.constant(dtype, [groups], 0)];
      const epsilon = float(epsilonOf(call));
      const hat = b.op("InstanceNormalization", [reshape(b, call.x(0), grouped), ...unit], { epsilon });
      const wide = (i: number): string => {
        const vector = groupVector(call, i);
        return reshape(b, vector, [shape[1] as number, ...new Array<number>(shape.length - 2).fill(1)]);
      };
      return [m.add(m.mul(reshape(b, hat, shape), wide(1)), wide(2))];
    },
  },
);

/** Normalization of each channel, and of groups of channels. */
export const channelNormalization: OpTable = { InstanceNormalization: instance, GroupNormalization: group };
