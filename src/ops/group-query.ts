import { NodeError } from "../graph/errors.js";
import { elementCount, int, type TensorType } from "../graph/graph.js";
import {
  type Attended,
  asHeads,
  asRows,
  attend,
  attentionFlops,
  checkRank,
  cut,
  mismatch,
  unsupportedForm,
} from "./attending.js";
import { composite } from "./composite.js";
import { math } from "./math.js";
import { inverseRms } from "./normalized.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { rotated, rotationOf, steps } from "./rotary.js";
import { cast, reshape } from "./shapes.js";

/** Sizes of a GroupQueryAttention. */
interface Grouped extends Attended {
  /** Places in the buffers of past keys and values, and in those of present ones. */
  readonly past: number;
  readonly present: number;
  /** Nothing of an earlier step is seen: the sequence starts here. */
  readonly isFirst: boolean;
}

function groupedSizes(call: OpCall): Grouped {
  const [heads, kvHeads] = [call.int("num_heads", 0), call.int("kv_num_heads", 0)];
  const [q, k, v] = [call.input(0).shape, call.inputs[1]?.shape, call.inputs[2]?.shape];
  const fail = (): Error =>
    mismatch(call, `Q [${q}], K [${k ?? ""}], V [${v ?? ""}] in ${heads} heads over ${kvHeads}`);
  const [batch = 0, queries = 0, all = 0] = q;
  const width = all / (k ? heads : heads + 2 * kvHeads);
  const isGrouped = heads > 0 && kvHeads > 0 && heads % kvHeads === 0;
  if (q.length !== 3 || !k !== !v || !isGrouped || !Number.isInteger(width)) throw fail();
  for (const given of [k, v]) if (given && given.join() !== [batch, queries, kvHeads * width].join()) throw fail();
  const [pastK, pastV] = [call.inputs[3]?.shape, call.inputs[4]?.shape];
  const past = pastK?.[2] ?? 0;
  for (const given of [pastK, pastV])
    if (!pastK !== !pastV || (given && given.join() !== [batch, kvHeads, past, width].join()))
      throw mismatch(call, `past [${given ?? ""}] for Q [${q}] in ${kvHeads} heads`);
  const total = call.constant(6)?.[0];
  if (past > 0 && total === undefined)
    throw new NodeError(`GroupQueryAttention with past keys needs a constant total_sequence_length`, call.node, {
      hint: "leave past keys and values out of the export: training sees whole sequences",
    });
  const isFirst = past === 0 || total === queries;
  if (!isFirst && (total as number) < queries) throw mismatch(call, `${total} positions in all for ${queries} queries`);
  return {
    batch,
    heads,
    kvHeads,
    queries,
    keys: isFirst ? queries : (total as number),
    width,
    valueWidth: width,
    past,
    present: Math.max(past, total ?? queries),
    isFirst,
  };
}

/** Where the sequences stand, int64, [batch, 1, 1, 1]: positions in all, and those before the first query, if any. */
function positionsOf(call: BodyCall, { batch, queries, isFirst }: Grouped): { totals: string; before?: string } {
  const { b } = call;
  const m = math(b);
  const lengths = call.input(5).shape;
  if (elementCount(lengths) !== batch) throw mismatch(call, `seqlens_k [${lengths}] for ${batch} sequences`);
  const totals = m.add(cast(b, reshape(b, call.x(5), [batch, 1, 1, 1]), "int64"), 1);
  return isFirst ? { totals } : { totals, before: m.sub(totals, queries) };
}

type Positions = ReturnType<typeof positionsOf>;

/**
 * New keys or values at their places behind the past ones: each place takes the row of both, laid one behind the other,
 * that it is given by a product with zeros and ones. Places beyond hold zeros.
 */
function placed(call: BodyCall, index: number, fresh: string, sizes: Grouped, { before }: Positions): string {
  const { b } = call;
  const m = math(b);
  const { queries, past, present } = sizes;
  if (!before) {
    if (present === queries) return fresh;
    const pads = [0, 0, 0, 0, 0, 0, present - queries, 0];
    return b.op("Pad", [fresh, b.vector(pads), b.scalar(0, fresh)]);
  }
  const rows = b.op("Concat", [call.x(index), fresh], { axis: int(2) });
  const places = steps(b, [present, 1]);
  const source = m.where(m.less(places, before), places, m.add(m.sub(places, before), past));
  const picks = m.equal(source, steps(b, [past + queries]));
  return b.op("MatMul", [cast(b, picks, b.type(fresh).dtype), rows]);
}

/** The keys that each query sees. */
function seenBy(call: BodyCall, { queries, keys }: Grouped, { totals, before }: Positions): string {
  const m = math(call.b);
  const places = steps(call.b, [keys]);
  const own = steps(call.b, [queries, 1]);
  const at = before ? m.add(before, own) : own;
  const isThere = m.less(places, totals);
  const window = call.int("local_window_size", -1);
  const masks = [
    ...(call.int("causal", 1) ? [m.lessOrEqual(places, at)] : []),
    ...(window > 0 ? [m.greater(places, m.sub(at, window))] : []),
  ];
  return masks.reduce((one, other) => m.and(one, other), isThere);
}

/** Rows of the caches of cosines and sines: as input 9 says, else one for each position. */
function rotaryRows(call: BodyCall, { batch, queries, isFirst }: Grouped, { before }: Positions): string {
  const { b } = call;
  const m = math(b);
  const own = steps(b, [queries]);
  if (call.inputs[9] && !isFirst) return reshape(b, call.x(9), [batch, queries]);
  if (call.inputs[9]) {
    // of the first prompt ONNX Runtime reads the first place alone
    const flat = reshape(b, cast(b, call.x(9), "int64"), [elementCount(call.input(9).shape)]);
    return m.add(b.op("Slice", [flat, b.vector([0]), b.vector([1])]), own);
  }
  return before ? m.add(reshape(b, before, [batch, 1]), own) : own;
}

function grouped(call: BodyCall): string[] {
  const { b, node } = call;
  const m = math(b);
  if (call.int("sliding_window_cache", 0)) throw unsupportedForm(call, "sliding_window_cache");
  for (const name of ["k_quant_type", "v_quant_type"])
    if (call.text(name, "NONE") !== "NONE") throw unsupportedForm(call, name);
  const sizes = groupedSizes(call);
  const { batch, heads, kvHeads, queries, keys, width } = sizes;
  const parts = call.inputs[1]
    ? [call.x(0), call.x(1), call.x(2)]
    : cut(b, call.x(0), [heads * width, kvHeads * width, kvHeads * width]);
  const inHeads = parts.map((part, i) => asHeads(b, part, i === 0 ? heads : kvHeads));
  const positions = positionsOf(call, sizes);
  const normed = (x: string, index: number): string =>
    call.inputs[index] ? m.mul(m.mul(x, inverseRms(b, x, [3], epsilonOfHeads(call))), call.x(index)) : x;
  const normal = [normed(inHeads[0] as string, 14), normed(inHeads[1] as string, 15)];
  const turned = (): string[] => {
    if (!call.int("do_rotary", 0)) return normal;
    if (!call.inputs[9] && keys > (call.input(7).shape[0] as number))
      throw mismatch(call, `${keys} positions for caches of [${call.input(7).shape}]`);
    for (const cache of [7, 8]) checkRank(call, cache, 2);
    const rows = rotaryRows(call, sizes, positions);
    const rotation = rotationOf(call, [7, 8], rows, call.int("rotary_interleaved", 0) !== 0);
    if (2 * rotation.pairs > width) throw mismatch(call, `${rotation.pairs} pairs for heads of ${width}`);
    return normal.map((x) => rotated(b, x, rotation));
  };
  const [q, k] = turned() as [string, string];
  const v = inHeads[2] as string;
  const isWanted = (index: number): boolean => Boolean(node.outputs[index]) || !sizes.isFirst;
  const present = [3, 4].map((index, i) =>
    isWanted(index - 2) ? placed(call, index, i ? v : k, sizes, positions) : undefined,
  );
  const upTo = (x: string | undefined, own: string): string => {
    if (sizes.isFirst) return own;
    const all = x as string;
    return sizes.present === keys ? all : b.op("Slice", [all, b.vector([0]), b.vector([keys]), b.vector([2])]);
  };
  const seen = seenBy(call, sizes, positions);
  const hasSink = call.inputs[11] || call.int("smooth_softmax", -1) === 1;
  const sink = call.inputs[11]
    ? reshape(b, call.x(11), [1, heads, 1, 1])
    : b.constant(b.type(q).dtype, [1, 1, 1, 1], 0);
  const bias = call.inputs[10];
  if (bias && bias.shape.at(-1) !== keys)
    throw mismatch(call, `attention_bias [${bias.shape}] for [${[batch, heads, queries, keys]}]`);
  const { y, stages } = attend(b, [q, upTo(present[0], k), upTo(present[1], v)], sizes, {
    masks: [...(bias ? [call.x(10)] : []), seen],
    scale: call.float("scale", 0) || 1 / Math.sqrt(width),
    softcap: call.float("softcap", 0),
    ...(hasSink ? { sink } : {}),
  });
  const scores = (): string => {
    const kind = call.int("qk_output", 0);
    if (kind === 2) return stages[3];
    if (kind !== 1) throw unsupportedForm(call, `scores with qk_output=${kind}`);
    const biased = bias ? m.add(stages[1], call.x(10)) : stages[1];
    return m.masked(seen, biased);
  };
  return [asRows(b, y), present[0] ?? "", present[1] ?? "", node.outputs[3] ? scores() : ""];
}

const epsilonOfHeads = (call: OpCall): number => call.float("qk_norm_epsilon", 1e-6);

/** Attention of groups of heads that share keys and values, beside those of earlier steps. */
export const groupQuery: OpTable = {
  /**
   * (Q, K, V, past keys, past values, positions less one, positions in all, cosines, sines, places, added to the scores,
   * sinks, …, scales of Q and K) → (Y, keys, values, scores).
   */
  "com.microsoft:GroupQueryAttention": composite(
    (call) => {
      const { batch, heads, kvHeads, queries, keys, width, present } = groupedSizes(call);
      const { dtype } = call.input(0);
      return [
        [batch, queries, heads * width],
        [batch, kvHeads, present, width],
        [batch, kvHeads, present, width],
        [batch, heads, queries, keys],
      ].map((shape): TensorType => ({ dtype, shape }));
    },
    grouped,
    {
      flops: (call) => attentionFlops(groupedSizes(call)),
      buffers: { 7: "cosines", 8: "sines" },
      holds: { 11: "weight", 14: "weight", 15: "weight" },
    },
  ),
};
