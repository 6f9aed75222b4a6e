import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, ints, type TensorType } from "../graph/graph.js";
import { type Attended, attentionFlops, lowest, mismatch, pattern } from "./attending.js";
import type { Emit } from "./emit.js";
import { native, ofOutput0 } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { broadcastShape, cast, reduceTo } from "./shapes.js";

/** The axis of positions: [batch, heads, positions, width], positions before heads, or before all. */
export type PositionAxis = 0 | 1 | 2;

/** What a fused attention computes beside softmax(scale·Q·Kᵀ)·V. */
export interface AttentionForm {
  readonly scale: number;
  /** Query i sees the keys up to i + ahead; undefined: all. */
  readonly ahead: number | undefined;
  /** Rows that see no key are 0, not NaN. */
  readonly zeroHidden: boolean;
  /** Which axis of Q, K, V and Y the positions are; the others are batch, heads and width, in this order. */
  readonly positionAxes: readonly PositionAxis[];
}

/** The form as attributes of a node. */
export const attentionAttributes = ({ scale, ahead, zeroHidden, positionAxes }: AttentionForm) => ({
  scale: float(scale),
  ...(ahead === undefined ? {} : { ahead: int(ahead) }),
  ...(zeroHidden ? { zero_hidden: int(1) } : {}),
  position_axes: ints(positionAxes),
});

/** The form of a node. */
export function attentionForm(call: Pick<OpCall, "int" | "float" | "ints">): AttentionForm {
  const ahead = call.int("ahead", Number.NaN);
  return {
    scale: call.float("scale", 1),
    ahead: Number.isNaN(ahead) ? undefined : ahead,
    zeroHidden: call.int("zero_hidden", 0) === 1,
    positionAxes: (call.ints("position_axes") ?? [2, 2, 2, 2]) as readonly PositionAxis[],
  };
}

/** Where the axes of [batch, heads, positions, width] stand in a tensor whose positions are that axis. */
const places: Readonly<Record<PositionAxis, readonly number[]>> = { 0: [1, 2, 0, 3], 1: [0, 2, 1, 3], 2: [0, 1, 2, 3] };

const placesOf = (axis: PositionAxis | undefined): readonly number[] => places[axis ?? 2];

/** The shape [batch, heads, positions, width] of a tensor whose positions are that axis. */
export const headsFirst = (shape: readonly number[], axis: PositionAxis): number[] =>
  placesOf(axis).map((place) => shape[place] as number);

/** The shape of a tensor whose positions are that axis, from [batch, heads, positions, width]. */
export const laidOut = (sizes: readonly number[], axis: PositionAxis): number[] =>
  sizes.map((_, place) => sizes[placesOf(axis).indexOf(place)] as number);

const misfit = (call: OpCall, shapes: readonly (readonly number[])[]): Error =>
  mismatch(call, `Q, K, V of an attention are ${shapes.map((shape) => `[${shape}]`).join(", ")}`);

/** Sizes of a fused attention whose Q is input `first`. Throws `shape mismatch: …`. */
export function fusedSizes(call: OpCall, first: number): Attended {
  const { positionAxes } = attentionForm(call);
  const given = [0, 1, 2].map((i) => call.input(first + i).shape);
  if (given.some(({ length }) => length !== 4)) throw misfit(call, given);
  const shapes = given.map((shape, i) => headsFirst(shape, positionAxes[i] as PositionAxis)) as [
    number[],
    number[],
    number[],
  ];
  const [[batch = 0, heads = 0, queries = 0, width = 0], k, v] = shapes;
  const [keyBatch, kvHeads = 0, keys = 0, keyWidth] = k;
  const fits = keyBatch === batch && heads % kvHeads === 0 && keyWidth === width && k.join() === v.join();
  if (!fits) throw misfit(call, given);
  return { batch, heads, kvHeads, queries, keys, width, valueWidth: width };
}

/** Type of the scores' statistics: the largest of each row (in powers of 2), and one over the sum of the powers. */
function statisticsType(call: OpCall, first: number): TensorType {
  const { batch, heads, queries } = fusedSizes(call, first);
  const dtype = call.input(first).dtype === "float64" ? "float64" : "float32";
  return { dtype, shape: [2, batch, heads, queries] };
}

/** Checks the mask of input `index`: it broadcasts to the scores. Throws `shape mismatch: …`. */
function checkMask(call: OpCall, index: number, { batch, heads, queries, keys }: Attended): void {
  const shape = call.inputs[index]?.shape;
  const scores = [batch, heads, queries, keys];
  if (shape && (shape.length !== 4 || broadcastShape(shape, scores).join() !== scores.join()))
    throw mismatch(call, `mask [${shape}] for scores [${scores}]`);
}

/** A tensor whose positions are that axis, as [batch, heads, positions, width]. */
const turned = (b: Emit, x: string, axis: PositionAxis | undefined): string =>
  axis === 2 ? x : b.op("Transpose", [x], { perm: ints(placesOf(axis)) });

/** The other way round. */
const turnedBack = (b: Emit, x: string, axis: PositionAxis | undefined): string =>
  axis === 2 ? x : b.op("Transpose", [x], { perm: ints([0, 1, 2, 3].map((place) => placesOf(axis).indexOf(place))) });

/** Q, K and V heads first, K and V for each head, and the masked scores in the type of the statistics. */
function written(call: BodyCall, first: number, mask: number) {
  const { b } = call;
  const m = math(b);
  const form = attentionForm(call);
  const sizes = fusedSizes(call, first);
  const { batch, heads, kvHeads, queries, keys, width } = sizes;
  const { dtype } = statisticsType(call, first);
  const spread = (x: string): string => {
    if (kvHeads === heads) return x;
    const groups = b.op("Reshape", [x, b.vector([batch, kvHeads, 1, keys, width])]);
    const all = b.op("Expand", [groups, b.vector([batch, kvHeads, heads / kvHeads, keys, width])]);
    return b.op("Reshape", [all, b.vector([batch, heads, keys, width])]);
  };
  const [q, k, v] = [0, 1, 2].map((i) => {
    const x = turned(b, call.x(first + i), form.positionAxes[i]);
    return i ? spread(x) : x;
  }) as [string, string, string];
  const product = b.op("MatMul", [q, b.op("Transpose", [k], { perm: ints([0, 1, 3, 2]) })]);
  const scaled = m.mul(cast(b, product, dtype), form.scale);
  const added = call.inputs[mask] ? m.add(scaled, cast(b, call.x(mask), dtype)) : scaled;
  const { ahead } = form;
  const scores =
    ahead === undefined
      ? added
      : m.where(
          pattern(b, queries, keys, (i, j) => j <= i + ahead),
          added,
          lowest(dtype),
        );
  return { form, sizes, q, k, v, scores, dtype };
}

/** One half of the statistics, as [batch, heads, queries, 1]. */
const half = (b: Emit, statistics: string, index: 0 | 1): string => {
  const [, batch = 1, heads = 1, queries = 1] = b.type(statistics).shape;
  const part = b.op("Slice", [statistics, b.vector([index]), b.vector([index + 1]), b.vector([0])]);
  return b.op("Reshape", [part, b.vector([batch, heads, queries, 1])]);
};

/** (Q, K, V, mask) → (Y, statistics): Y = softmax(scale·Q·Kᵀ + mask)·V, for kernels that keep no scores. */
const attention = native(
  (call) => {
    const sizes = fusedSizes(call, 0);
    checkMask(call, 3, sizes);
    const { batch, heads, queries, valueWidth } = sizes;
    const shape = [batch, heads, queries, valueWidth];
    const { positionAxes } = attentionForm(call);
    const y = { dtype: call.input(0).dtype, shape: laidOut(shape, positionAxes[3] as PositionAxis) };
    return [y, statisticsType(call, 0)];
  },
  ofOutput0((call, dY) => {
    if (call.inputs[3] && call.wants(3)) throw new NodeError("no gradient: mask of an attention", call.node);
    const { b } = call;
    const outputs = ["dQ", "dK", "dV"].map((name, i) => (call.wants(i) ? b.fresh(`${b.scope}/${name}`) : ""));
    const mask = call.inputs[3] ? [call.x(3)] : [];
    const inputs = [dY, call.x(0), call.x(1), call.x(2), call.y(0), call.y(1), ...mask];
    return b
      .add("AttentionGradient", inputs, call.node.attributes, { domain: "mutwo", outputs })
      .map((name) => name || undefined);
  }),
  {
    flops: (call) => (call.int("ahead", -1) === 0 ? 0.5 : 1) * attentionFlops(fusedSizes(call, 0)),
    inputTypes: "any",
    product: "attention",
    types: null,
    body: (call) => {
      const { b, node } = call;
      const m = math(b);
      const { form, v, scores, dtype } = written(call, 0, 3);
      const last = b.vector([-1]);
      const largest = b.op("ReduceMax", [scores, last]);
      const powers = m.exp(m.sub(scores, largest));
      const inverse = m.reciprocal(b.op("ReduceSum", [powers, last]));
      const y = b.op("MatMul", [cast(b, m.mul(powers, inverse), b.type(v).dtype), v]);
      const statistics = (): string => {
        const both = b.op("Concat", [m.mul(largest, Math.LOG2E), inverse], { axis: int(0) });
        const { shape } = statisticsType(call, 0);
        return cast(b, b.op("Reshape", [both, b.vector(shape)]), dtype);
      };
      return [turnedBack(b, y, form.positionAxes[3]), node.outputs[1] ? statistics() : ""];
    },
  },
);

/**
 * (dY, Q, K, V, Y, statistics, mask) → (dQ, dK, dV), the gradient of the op above, with P = softmax(S) made again:
 * dV = Pᵀ·dY, dS = P∘(dY·Vᵀ − Σ dY∘Y), dQ = scale·dS·K, dK = scale·dSᵀ·Q.
 */
const attentionGradient = native(
  (call) => {
    const sizes = fusedSizes(call, 1);
    checkMask(call, 6, sizes);
    return [1, 2, 3].map((i) => ({ dtype: call.input(i).dtype, shape: call.input(i).shape }));
  },
  "none",
  {
    flops: (call) => (call.int("ahead", -1) === 0 ? 1.25 : 2.5) * attentionFlops(fusedSizes(call, 1)),
    inputTypes: "any",
    product: "attention",
    types: null,
    body: (call) => {
      const { b, node, x } = call;
      const m = math(b);
      const { form, sizes, q, k, v, scores, dtype } = written(call, 1, 6);
      const type = b.type(q).dtype;
      const [dY, Y] = [x(0), x(4)].map((name) => turned(b, name, form.positionAxes[3])) as [string, string];
      const swap = (name: string): string => b.op("Transpose", [name], { perm: ints([0, 1, 3, 2]) });
      const powers = m.exp(m.sub(scores, m.mul(half(b, x(5), 0), Math.LN2)));
      const shares = m.mul(powers, half(b, x(5), 1));
      const { batch, kvHeads, heads, keys, width } = sizes;
      /** The gradient of what heads share, as it lay. */
      const back = (name: string, index: 1 | 2): string => {
        const groups = b.op("Reshape", [name, b.vector([batch, kvHeads, heads / kvHeads, keys, width])]);
        const summed = reduceTo(b, groups, [batch, kvHeads, 1, keys, width]);
        const whole = b.op("Reshape", [summed, b.vector([batch, kvHeads, keys, width])]);
        return turnedBack(b, whole, form.positionAxes[index]);
      };
      const through = cast(b, b.op("MatMul", [dY, swap(v)]), dtype);
      const level = b.op("ReduceSum", [m.mul(cast(b, dY, dtype), cast(b, Y, dtype)), b.vector([-1])]);
      const dS = cast(b, m.mul(m.mul(shares, m.sub(through, level)), form.scale), type);
      return [
        node.outputs[0] ? turnedBack(b, b.op("MatMul", [dS, k]), form.positionAxes[0]) : "",
        node.outputs[1] ? back(b.op("MatMul", [swap(dS), q]), 1) : "",
        node.outputs[2] ? back(b.op("MatMul", [swap(cast(b, shares, type)), dY]), 2) : "",
      ];
    },
  },
);

/** Attention without the scores in memory, which a GPU's kernels compute tile by tile (step/attention.ts makes it). */
export const fusedAttention: OpTable = {
  "mutwo:Attention": attention,
  "mutwo:AttentionGradient": attentionGradient,
};

/** Elements of a mask from one batch, head, query and key to the next: 0 where it is broadcast. */
export const maskStrides = (shape: readonly number[]): number[] =>
  shape.map((extent, axis) => (extent === 1 ? 0 : elementCount(shape.slice(axis + 1))));
