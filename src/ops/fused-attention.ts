import { NodeError } from "../graph/errors.js";
import { elementCount, int, ints, type TensorType } from "../graph/graph.js";
import { type Attended, attentionFlops, lowest, mismatch, pattern } from "./attending.js";
import { attentionForm, laidOut, type PositionAxis, places, sizesOf, type View } from "./attention-form.js";
import { attentionOverModels } from "./attention-over-models.js";
import type { Emit } from "./emit.js";
import { native, ofOutput0 } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { broadcastShape, cast, reduceTo, reshape } from "./shapes.js";

/** Sizes of a fused attention whose Q is input `first`. Throws `shape mismatch: …`. */
export function fusedSizes(call: OpCall, first: number): Attended {
  const { sizes, views } = attentionForm(call);
  views.forEach(({ offset, strides }, i) => {
    const { shape } = call.input(first + i);
    const all = sizesOf(sizes, i);
    const last = offset + all.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 1), 0);
    if (all.some((size) => size < 1) || last >= elementCount(shape))
      throw mismatch(call, `${"QKV"[i]} of an attention is [${all}] with strides [${strides}] in [${shape}]`);
  });
  if (sizes.heads % sizes.kvHeads) throw mismatch(call, `${sizes.kvHeads} heads of keys for ${sizes.heads}`);
  return { ...sizes, valueWidth: sizes.width };
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
const turned = (b: Emit, x: string, axis: PositionAxis): string =>
  axis === 2 ? x : b.op("Transpose", [x], { perm: ints(places[axis]) });

/** The other way round. */
const turnedBack = (b: Emit, x: string, axis: PositionAxis): string =>
  axis === 2 ? x : b.op("Transpose", [x], { perm: ints([0, 1, 2, 3].map((place) => places[axis].indexOf(place))) });

/** How a view is cut out of its tensor: the tensor's axes, the part of each, and which of the view's axes it is. */
function cutting({ offset, strides }: View, sizes: readonly number[], count: number) {
  const axes = sizes
    .map((size, axis) => ({ size, axis, stride: strides[axis] ?? 1 }))
    .filter(({ size }) => size > 1)
    .sort((a, z) => z.stride - a.stride);
  // what is left inside of the innermost, and before it an axis for each
  const inner = axes.at(-1)?.stride ?? count;
  const all = inner > 1 ? [...axes, { size: 1, axis: sizes.length, stride: 1 }] : axes;
  return all.map((one, i) => {
    const room = (all[i - 1]?.stride ?? count) / one.stride;
    return { ...one, room, start: Math.floor(offset / one.stride) % room };
  });
}

/** [batch, heads, positions, width] of those sizes, out of the tensor that it lies in. */
function viewed(b: Emit, x: string, view: View, sizes: readonly number[]): string {
  const axes = cutting(view, sizes, elementCount(b.type(x).shape));
  const whole = reshape(
    b,
    x,
    axes.map(({ room }) => room),
  );
  const cuts = axes.flatMap((axis, i) => (axis.room === axis.size ? [] : [{ ...axis, i }]));
  const bounds = [
    cuts.map(({ start }) => start),
    cuts.map(({ start, size }) => start + size),
    cuts.map(({ i }) => i),
  ].map((list) => b.vector(list));
  const part = cuts.length ? b.op("Slice", [whole, ...bounds]) : whole;
  const order = axes.map((_, i) => i).sort((i, j) => (axes[i]?.axis as number) - (axes[j]?.axis as number));
  const isSame = order.every((from, i) => from === i);
  return reshape(b, isSame ? part : b.op("Transpose", [part], { perm: ints(order) }), sizes);
}

/** The other way round: a tensor of that shape with [batch, heads, positions, width] in its places, and zeros elsewhere. */
function placed(b: Emit, x: string, view: View, shape: readonly number[]): string {
  const sizes = b.type(x).shape;
  const axes = cutting(view, sizes, elementCount(shape));
  const order = axes.map((_, i) => i).sort((i, j) => (axes[i]?.axis as number) - (axes[j]?.axis as number));
  const dense = reshape(
    b,
    x,
    order.map((i) => axes[i]?.size as number),
  );
  const perm = axes.map((_, i) => order.indexOf(i));
  const lying = perm.every((from, i) => from === i) ? dense : b.op("Transpose", [dense], { perm: ints(perm) });
  const pads = [...axes.map(({ start }) => start), ...axes.map(({ room, start, size }) => room - start - size)];
  return reshape(b, pads.some((n) => n > 0) ? b.op("Pad", [lying, b.vector(pads)]) : lying, shape);
}

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
    const x = viewed(b, call.x(first + i), form.views[i] as View, sizesOf(sizes, i));
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
    const { positionAxis } = attentionForm(call);
    const y = { dtype: call.input(0).dtype, shape: laidOut(shape, positionAxis) };
    return [y, statisticsType(call, 0)];
  },
  ofOutput0((call, dY) => {
    if (call.inputs[3] && call.wants(3)) throw new NodeError("no gradient: mask of an attention", call.node);
    const { b } = call;
    // what lies in one tensor has one gradient
    const isFirst = (i: number): boolean => call.node.inputs.indexOf(call.x(i)) === i;
    const outputs = ["dQ", "dK", "dV"].map((name, i) =>
      call.wants(i) && isFirst(i) ? b.fresh(`${b.scope}/${name}`) : "",
    );
    const mask = call.inputs[3] ? [call.x(3)] : [];
    const inputs = [dY, call.x(0), call.x(1), call.x(2), call.y(0), call.y(1), ...mask];
    return b
      .add("AttentionGradient", inputs, call.node.attributes, { domain: "mutwo", outputs })
      .map((name) => name || undefined);
  }),
  {
    flops: (call) => (call.int("ahead", -1) === 0 ? 0.5 : 1) * attentionFlops(fusedSizes(call, 0)),
    overModels: attentionOverModels,
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
      return [turnedBack(b, y, form.positionAxis), node.outputs[1] ? statistics() : ""];
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
      const [dY, Y] = [x(0), x(4)].map((name) => turned(b, name, form.positionAxis)) as [string, string];
      const swap = (name: string): string => b.op("Transpose", [name], { perm: ints([0, 1, 3, 2]) });
      const powers = m.exp(m.sub(scores, m.mul(half(b, x(5), 0), Math.LN2)));
      const shares = m.mul(powers, half(b, x(5), 1));
      const { batch, kvHeads, heads, keys, width } = sizes;
      /** The gradient of what heads share. */
      const back = (name: string): string => {
        const groups = b.op("Reshape", [name, b.vector([batch, kvHeads, heads / kvHeads, keys, width])]);
        const summed = reduceTo(b, groups, [batch, kvHeads, 1, keys, width]);
        return b.op("Reshape", [summed, b.vector([batch, kvHeads, keys, width])]);
      };
      const through = cast(b, b.op("MatMul", [dY, swap(v)]), dtype);
      const level = b.op("ReduceSum", [m.mul(cast(b, dY, dtype), cast(b, Y, dtype)), b.vector([-1])]);
      const dS = cast(b, m.mul(m.mul(shares, m.sub(through, level)), form.scale), type);
      const gradients = [
        () => b.op("MatMul", [dS, k]),
        () => back(b.op("MatMul", [swap(dS), q])),
        () => back(b.op("MatMul", [swap(cast(b, shares, type)), dY])),
      ];
      return [1, 2, 3].map((slot, i) =>
        node.outputs[i]
          ? gradients
              .flatMap((made, j) =>
                node.inputs[1 + j] === x(slot)
                  ? [placed(b, made(), form.views[j] as View, call.input(slot).shape)]
                  : [],
              )
              .reduce((a, z) => m.add(a, z))
          : "",
      );
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
