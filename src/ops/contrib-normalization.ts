import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, type TensorType } from "../graph/graph.js";
import { composite } from "./composite.js";
import { channelsFirst, channelsLast } from "./contrib-fused.js";
import { inputSize, sameType } from "./kinds.js";
import { math } from "./math.js";
import { epsilonOf } from "./normalized.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { cast, reshape, sameShape } from "./shapes.js";

/** Types of an EmbedLayerNormalization: Y, numbers of real tokens, and the sums before they are normalised. */
function embeddedTypes(call: OpCall): TensorType[] {
  const [ids, table] = [call.input(0), call.input(2)];
  const [batch = 0, positions = 0] = ids.shape;
  const width = table.shape[1] ?? 0;
  const places = call.inputs[8]?.shape;
  const isEven = [1, 7].every((index) => !call.inputs[index] || sameShape(call.input(index).shape, ids.shape));
  const tables = [2, 3, 4].flatMap((index) => (call.inputs[index] ? [`[${call.inputs[index].shape}]`] : []));
  const isWide = [5, 6].every((index) => call.input(index).shape.join() === String(width));
  const arePlaced = places ? places[1] === positions && (places[0] === batch || places[0] === 1) : true;
  const isLong = places !== undefined || (call.input(3).shape[0] as number) >= positions;
  if (ids.shape.length !== 2 || !isEven || !isWide || !arePlaced || !isLong || !call.inputs[1] !== !call.inputs[4])
    throw new NodeError(`shape mismatch: ids [${ids.shape}] for tables ${tables.join(", ")}`, call.node);
  const y = { dtype: table.dtype, shape: [batch, positions, width] };
  return [y, { dtype: "int32", shape: [batch] }, y];
}

/** Sums of rows of the tables of words, places and segments, normalised. */
function embedded(call: BodyCall): string[] {
  const { b, node } = call;
  const m = math(b);
  const [batch = 0, positions = 0] = embeddedTypes(call)[0]?.shape ?? [];
  const rows = (table: number, ids: number): string =>
    b.op("Gather", [call.x(table), cast(b, call.x(ids), "int64")], { axis: int(0) });
  const places = (): string => {
    if (call.inputs[8]) return rows(3, 8);
    if (call.input(3).shape[0] === positions) return call.x(3);
    return b.op("Slice", [call.x(3), b.vector([0]), b.vector([positions]), b.vector([0])]);
  };
  const words = m.add(rows(2, 0), places());
  const sum = call.inputs[4] ? m.add(words, rows(4, 1)) : words;
  const y = b.op("LayerNormalization", [sum, call.x(5), call.x(6)], {
    axis: int(-1),
    epsilon: float(epsilonOf(call, 1e-12)),
  });
  const count = (): string => {
    if (!call.inputs[7]) return b.constant("int32", [batch], 0);
    const ones = cast(b, m.equal(call.x(7), 1), "int32");
    return b.op("ReduceSum", [ones, b.vector([1])], { keepdims: int(0) });
  };
  return [y, node.outputs[1] ? count() : "", sum];
}

/** X and what is added to it, in its shape: skip may be one vector for each image. */
function skipped(call: BodyCall, isLast: boolean): string {
  const { b } = call;
  const m = math(b);
  const { shape } = call.input(0);
  const skip = call.input(3).shape;
  const channels = (isLast ? shape.at(-1) : shape[1]) as number;
  const batch = shape[0] as number;
  const ones = shape.slice(2).map(() => 1);
  const wide = (lead: number): number[] => (isLast ? [lead, ...ones, channels] : [lead, channels, ...ones]);
  if (!sameShape(skip, shape) && elementCount(skip) !== batch * channels)
    throw new NodeError(`shape mismatch: skip [${skip}] for X [${shape}]`, call.node);
  const added = sameShape(skip, shape) ? call.x(3) : reshape(b, call.x(3), wide(batch));
  const sum = m.add(call.x(0), added);
  return call.inputs[4] ? m.add(sum, reshape(b, call.x(4), wide(1))) : sum;
}

/** A group normalization over channels that stand last or first, then x·σ(x) if asked. */
function groupNormed(call: BodyCall, x: string, isLast: boolean): string {
  const { b } = call;
  const { dtype } = b.type(x);
  const first = isLast ? channelsFirst(b, x) : x;
  const channels = b.type(first).shape[1] ?? 0;
  if (call.int("groups", 1) < 1)
    throw new NodeError(`shape mismatch: ${channels} channels in ${call.int("groups", 1)} groups`, call.node);
  const affine = [1, 2].map((index) => {
    const { shape } = call.input(index);
    if (shape.join() !== String(channels))
      throw new NodeError(`shape mismatch: [${shape}] for ${channels} channels`, call.node);
    return cast(b, call.x(index), dtype);
  });
  const normal = b.op("GroupNormalization", [first, ...affine], {
    num_groups: int(call.int("groups", 1)),
    epsilon: float(epsilonOf(call)),
  });
  const m = math(b);
  const y = call.int("activation", 0) ? m.mul(normal, m.sigmoid(normal)) : normal;
  return isLast ? channelsLast(b, y) : y;
}

const isChannelsLast = (call: OpCall): boolean => call.int("channels_last", 1) !== 0;

/** Normalization as ONNX Runtime's optimiser writes it. */
export const contribNormalization: OpTable = {
  /** (ids, segments, tables of words, places and segments, scale, bias, mask, places) → (Y, numbers of ones, sums). */
  "com.microsoft:EmbedLayerNormalization": composite(embeddedTypes, embedded, {
    flops: (call) => 10 * elementCount(embeddedTypes(call)[0]?.shape ?? []),
    holds: { 2: "weight", 3: "weight", 4: "weight", 5: "weight", 6: "weight" },
  }),
  /** (X, scale, bias). */
  "com.microsoft:GroupNorm": composite(sameType, (call) => [groupNormed(call, call.x(0), isChannelsLast(call))], {
    flops: (call) => 9 * inputSize(call),
    holds: { 1: "weight", 2: "weight" },
    inputTypes: "any",
  }),
  /** (X, scale, bias, skip, bias of the sum) → (Y, sum). */
  "com.microsoft:SkipGroupNorm": composite(
    (call) => [...sameType(call), ...sameType(call)],
    (call) => {
      const sum = skipped(call, isChannelsLast(call));
      return [groupNormed(call, sum, isChannelsLast(call)), sum];
    },
    { flops: (call) => 10 * inputSize(call), holds: { 1: "weight", 2: "weight", 4: "weight" }, inputTypes: "any" },
  ),
};
