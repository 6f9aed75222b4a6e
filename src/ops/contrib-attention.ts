import { elementCount, int, type TensorType } from "../graph/graph.js";
import {
  type Attended,
  asHeads,
  asRows,
  attend,
  attentionFlops,
  behind,
  cut,
  mismatch,
  pattern,
  unsupportedForm,
} from "./attending.js";
import { composite } from "./composite.js";
import { math } from "./math.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { steps } from "./rotary.js";
import { cast, reshape } from "./shapes.js";

/** Sizes of an attention, and how many of its keys an earlier step has left. */
type Whole = Attended & { readonly past: number };

const whole = (sizes: Omit<Attended, "kvHeads">, past: number): Whole => ({ ...sizes, kvHeads: sizes.heads, past });

/** Refuses inputs of buffers that steps share, whose length the node does not tell. */
function refuse(call: OpCall, inputs: Readonly<Record<number, string>>): void {
  for (const [index, what] of Object.entries(inputs)) if (call.inputs[Number(index)]) throw unsupportedForm(call, what);
}

/**
 * What a mask of integers adds to the scores: `mask_filter_value` where keys are hidden, as ONNX Runtime does: a row that
 * is hidden as a whole keeps its shares. The mask is of shape [batch] (numbers of keys), [2·batch] (these, then first
 * keys), [3·batch + 2] (these, then what packing wants), [batch, keys], [batch, queries, keys], or of no meaning where
 * all keys share one value.
 */
function hiding(call: BodyCall, index: number, { batch, queries, keys }: Attended): string[] {
  if (!call.inputs[index]) return [];
  const { b } = call;
  const m = math(b);
  const { shape } = call.input(index);
  const mask = call.x(index);
  const filter = call.float("mask_filter_value", -10000);
  const added = (seen: string): string[] => [m.mul(cast(b, m.not(seen), call.input(0).dtype), filter)];
  const [size = 0] = shape;
  if (shape.length === 1 && [batch, 2 * batch, 3 * batch + 2].includes(size)) {
    const [ends, starts] =
      size === batch ? [mask] : cut(b, mask, [batch, ...(size === 2 * batch ? [batch] : [2 * batch + 2])], 0);
    const each = (x: string): string => cast(b, reshape(b, x, [batch, 1, 1, 1]), "int64");
    const places = steps(b, [keys]);
    const inside = m.less(places, each(ends as string));
    return added(size === 2 * batch ? m.and(inside, m.greaterOrEqual(places, each(starts as string))) : inside);
  }
  const seen = (lead: readonly number[]): string => m.greater(reshape(b, mask, [...lead, keys]), 0);
  if (shape.join() === [batch, keys].join()) return added(seen([batch, 1, 1]));
  if (shape.join() === [batch, queries, keys].join()) return added(seen([batch, 1, queries]));
  if (call.node.op === "Attention" && shape.length === 2 && shape[1] === 1 && (size === 1 || size === batch)) return [];
  throw unsupportedForm(call, `mask [${shape}]`);
}

/** What stands behind each query is hidden; ONNX Runtime's last query sees all, which matters where keys are others'. */
const causal = (call: BodyCall, { queries, keys, past }: Whole): string[] =>
  call.int("unidirectional", 0) && queries > 1
    ? [pattern(call.b, queries, keys, (query, key) => key <= past + query || query === queries - 1)]
    : [];

/** Masks and scale that the two ops share; `bias` is the input that is added to the scores. */
function attended(call: BodyCall, names: readonly [string, string, string], sizes: Whole, mask: number, bias: number) {
  const { batch, heads, queries, keys, width } = sizes;
  const given = call.inputs[bias]?.shape;
  const fits = given?.every((n, axis) => n === [batch, heads, queries, keys][axis] || (n === 1 && axis < 2));
  if (given && (given.length !== 4 || !fits))
    throw mismatch(call, `attention_bias [${given}] for [${[batch, heads, queries, keys]}]`);
  return attend(call.b, names, sizes, {
    masks: [...(given ? [call.x(bias)] : []), ...hiding(call, mask, sizes), ...causal(call, sizes)],
    scale: call.float("scale", 0) || 1 / Math.sqrt(width),
  });
}

/** Sizes of an Attention, whose input is projected: (X [batch, positions, any], W [any, Q + K + V]). */
function projectedSizes(call: OpCall): Whole {
  const [x, w] = [call.input(0).shape, call.input(1).shape];
  const heads = call.int("num_heads", 0);
  const all = w[1] ?? 0;
  const [q = 0, k = 0, v = 0] = call.ints("qkv_hidden_sizes") ?? [all / 3, all / 3, all / 3];
  const bias = call.inputs[2]?.shape;
  const fits = x.length === 3 && w.length === 2 && x[2] === w[0] && q === k && q + k + v === all;
  const divides = heads > 0 && [q, v].every((size) => Number.isInteger(size / heads) && size > 0);
  if (!fits || !divides || (bias && bias.join() !== String(all)))
    throw mismatch(call, `X [${x}] for W [${w}]${bias ? `, bias [${bias}]` : ""} in ${heads} heads`);
  const [batch = 0, queries = 0] = x;
  const [width, valueWidth] = [q / heads, v / heads];
  const given = call.inputs[4]?.shape;
  const past = given?.[3] ?? 0;
  if (given && given.join() !== [2, batch, heads, past, width].join())
    throw mismatch(call, `past [${given}] for X [${x}] in ${heads} heads`);
  if (width !== valueWidth && (given || call.outputCount > 1))
    throw unsupportedForm(call, "past of values of another size");
  return whole({ batch, heads, queries, keys: past + queries, width, valueWidth }, past);
}

/** The halves of a tensor [2, …]: keys and values of earlier steps. */
function halves(call: BodyCall, index: number): readonly (string | undefined)[] {
  if (!call.inputs[index] || elementCount(call.input(index).shape) === 0) return [undefined, undefined];
  const shape = call.input(index).shape.slice(1);
  return cut(call.b, call.x(index), [1, 1], 0).map((half) => reshape(call.b, half, shape));
}

function projected(call: BodyCall): string[] {
  const { b } = call;
  refuse(call, { 6: "a buffer that past and present share" });
  for (const name of ["do_rotary", "past_present_share_buffer"])
    if (call.int(name, 0)) throw unsupportedForm(call, name);
  const sizes = projectedSizes(call);
  const { batch, heads, keys, width, valueWidth } = sizes;
  const product = b.op("MatMul", [call.x(0), call.x(1)]);
  const sum = call.inputs[2] ? math(b).add(product, call.x(2)) : product;
  const parts = cut(b, sum, [heads * width, heads * width, heads * valueWidth]);
  const [q, newK, newV] = parts.map((part) => asHeads(b, part, heads)) as [string, string, string];
  const [pastK, pastV] = halves(call, 4);
  const [k, v] = [behind(b, pastK, newK), behind(b, pastV, newV)];
  const { y } = attended(call, [q, k, v], sizes, 3, 5);
  const present = (): string =>
    b.op(
      "Concat",
      [k, v].map((x) => reshape(b, x, [1, batch, heads, keys, width])),
      { axis: int(0) },
    );
  return [asRows(b, y), call.node.outputs[1] ? present() : ""];
}

/**
 * Sizes of a MultiHeadAttention: Q, K, V of [batch, positions, heads·width]; or packed as [batch, positions, heads, 3,
 * width], or K and V as [batch, positions, heads, 2, width]; or K and V of [batch, heads, positions, width].
 */
function multiHeadSizes(call: OpCall): Whole {
  const heads = call.int("num_heads", 0);
  const [q, k, v] = [call.input(0).shape, call.inputs[1]?.shape, call.inputs[2]?.shape];
  const fail = (): Error => mismatch(call, `Q [${q}], K [${k ?? ""}], V [${v ?? ""}] in ${heads} heads`);
  const [batch = 0, queries = 0] = q;
  const past = call.inputs[6]?.shape[2] ?? 0;
  const sized = (keys: number, width: number, valueWidth: number): Whole => {
    const integers = [width, valueWidth].every((size) => Number.isInteger(size) && size > 0);
    if (heads < 1 || !integers) throw fail();
    for (const [index, size] of [
      [6, width],
      [7, valueWidth],
    ] as const) {
      const given = call.inputs[index]?.shape;
      if (!given !== !call.inputs[6] || (given && given.join() !== [batch, heads, past, size].join()))
        throw mismatch(call, `past [${given ?? ""}] for Q [${q}] in ${heads} heads`);
    }
    return whole({ batch, heads, queries, keys: past + keys, width, valueWidth }, past);
  };
  if (q.length === 5) {
    const width = q[4] as number;
    if (k || v || q[2] !== heads || q[3] !== 3) throw fail();
    return sized(queries, width, width);
  }
  if (q.length !== 3 || !k) throw fail();
  const width = (q[2] as number) / heads;
  if (k.length === 5) {
    if (v || k.join() !== [batch, k[1], heads, 2, width].join()) throw fail();
    return sized(k[1] as number, width, width);
  }
  if (!v || v.length !== k.length) throw fail();
  if (k.length === 4) {
    if (call.inputs[6] || k.join() !== [batch, heads, k[2], width].join()) throw fail();
    if (v.slice(0, 3).join() !== k.slice(0, 3).join()) throw fail();
    return sized(k[2] as number, width, v[3] as number);
  }
  if (k.length !== 3 || k.join() !== [batch, k[1], q[2]].join() || v.slice(0, 2).join() !== k.slice(0, 2).join())
    throw fail();
  return sized(k[1] as number, width, (v[2] as number) / heads);
}

/** Q, K and V in heads, the bias of their projections added. */
function multiHeads(call: BodyCall, { heads, width, valueWidth }: Whole): [string, string, string] {
  const { b } = call;
  const unpacked = (index: number, count: number): string[] => {
    const { shape } = call.input(index);
    const [batch = 1, positions = 1] = shape;
    const parts = cut(b, call.x(index), new Array<number>(count).fill(1), 3);
    return parts.map((part) => reshape(b, part, [batch, positions, heads * width]));
  };
  const qkv = (): string[] => {
    if (call.input(0).shape.length === 5) return unpacked(0, 3);
    return [call.x(0), ...(call.inputs[2] ? [call.x(1), call.x(2)] : unpacked(1, 2))];
  };
  const sizes = [heads * width, heads * width, heads * valueWidth];
  const biases = call.inputs[3] ? cut(b, call.x(3), sizes, 0) : [];
  return qkv().map((x, i) => {
    const bias = biases[i];
    // keys and values in heads are those of another step, complete
    const isWhole = b.type(x).shape.length === 4;
    return asHeads(b, bias && !isWhole ? math(b).add(x, bias) : x, heads);
  }) as [string, string, string];
}

const multiHeadTypes = (call: OpCall): TensorType[] => {
  const { batch, queries, keys, heads, width, valueWidth } = multiHeadSizes(call);
  return [
    [batch, queries, heads * valueWidth],
    [batch, heads, keys, width],
    [batch, heads, keys, valueWidth],
    [batch, heads, queries, keys],
  ].map((shape) => ({ dtype: call.input(0).dtype, shape }));
};

/** Attention as ONNX Runtime's optimiser writes it. */
export const contribAttention: OpTable = {
  /** (X, weights, bias, mask, past, added to the scores) → (Y, present). */
  "com.microsoft:Attention": composite(
    (call) => {
      const { batch, queries, keys, heads, width, valueWidth } = projectedSizes(call);
      const { dtype } = call.input(0);
      return [
        { dtype, shape: [batch, queries, heads * valueWidth] },
        { dtype, shape: [2, batch, heads, keys, width] },
      ];
    },
    projected,
    {
      flops: (call) => {
        const sizes = projectedSizes(call);
        return 2 * sizes.queries * sizes.batch * elementCount(call.input(1).shape) + attentionFlops(sizes);
      },
      holds: { 1: "weight", 2: "weight" },
    },
  ),
  /** (Q, K, V, bias, mask, added to the scores, past keys, past values) → (Y, keys, values, scores). */
  "com.microsoft:MultiHeadAttention": composite(
    multiHeadTypes,
    (call) => {
      const { b } = call;
      refuse(call, { 8: "a buffer that past and present share", 9: "cache_indirection" });
      const sizes = multiHeadSizes(call);
      const [q, newK, newV] = multiHeads(call, sizes);
      const past = (index: number): string | undefined => (call.inputs[index] ? call.x(index) : undefined);
      const [k, v] = [behind(b, past(6), newK), behind(b, past(7), newV)];
      const { y, stages } = attended(call, [q, k, v], sizes, 4, 5);
      return [asRows(b, y), k, v, stages[2]];
    },
    { flops: (call) => attentionFlops(multiHeadSizes(call)), holds: { 3: "weight" } },
  ),
};
