import { NodeError } from "../graph/errors.js";
import { type DType, int, ints, isFloat } from "../graph/graph.js";
import { composite } from "./composite.js";
import { contribSchemas } from "./contrib.js";
import type { Emit } from "./emit.js";
import { inputSize, sameType } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { cast, reshape } from "./shapes.js";

/** Sizes of an attention; `queries` and `keys` are positions. */
interface Attended {
  readonly batch: number;
  readonly heads: number;
  /** Fewer than `heads` where groups of heads share keys and values. */
  readonly kvHeads: number;
  readonly queries: number;
  readonly keys: number;
  /** Elements of a head of queries and keys, and of values. */
  readonly width: number;
  readonly valueWidth: number;
}

const mismatch = (call: OpCall, what: string): Error =>
  new Error(`shape mismatch: ${what} (op ${call.node.op}, node ${call.node.name})`);

const unsupported = (call: OpCall, what: string): Error =>
  new NodeError(`unsupported: ${what} of ${call.node.op}`, call.node);

/** Refuses inputs that hold what an earlier step has left: training sees whole sequences. */
function refuse(call: OpCall, inputs: Readonly<Record<number, string>>): void {
  for (const [index, what] of Object.entries(inputs)) if (call.inputs[Number(index)]) throw unsupported(call, what);
}

/** Sizes from Q, K, V of shape [batch, heads, positions, width], or [batch, positions, heads·width] with given heads. */
function attended(call: OpCall, qHeads: number, kvHeads: number): Attended {
  const [q, k, v] = [0, 1, 2].map((i) => call.input(i).shape) as [number[], number[], number[]];
  const shapes = `Q [${q}], K [${k}], V [${v}]`;
  const spread = (shape: readonly number[], heads: number): readonly [number, number, number, number] => {
    if (shape.length === 4) return shape as unknown as readonly [number, number, number, number];
    const [batch = 0, positions = 0, all = 0] = shape;
    if (shape.length !== 3 || heads < 1 || all % heads) throw mismatch(call, `${shapes} in ${heads} heads`);
    return [batch, heads, positions, all / heads];
  };
  const [Q, K, V] = [spread(q, qHeads), spread(k, kvHeads), spread(v, kvHeads)];
  const fits = Q[0] === K[0] && K.slice(0, 3).join() === V.slice(0, 3).join() && Q[3] === K[3] && Q[1] % K[1] === 0;
  if (!fits) throw mismatch(call, shapes);
  return {
    batch: Q[0],
    heads: Q[1],
    kvHeads: K[1],
    queries: Q[2],
    keys: K[2],
    width: Q[3],
    valueWidth: V[3],
  };
}

/** [batch, positions, heads·width] as [batch, heads, positions, width]; a tensor of rank 4 as it is. */
function asHeads(b: Emit, x: string, heads: number): string {
  const { shape } = b.type(x);
  if (shape.length === 4) return x;
  const [batch = 1, positions = 1, all = 1] = shape;
  return b.op("Transpose", [reshape(b, x, [batch, positions, heads, all / heads])], { perm: ints([0, 2, 1, 3]) });
}

/** The other way round. */
function asRows(b: Emit, x: string): string {
  const [batch = 1, heads = 1, positions = 1, width = 1] = b.type(x).shape;
  const turned = b.op("Transpose", [x], { perm: ints([0, 2, 1, 3]) });
  return reshape(b, turned, [batch, positions, heads * width]);
}

/** The least finite number: rows that are masked as a whole stay numbers. */
const lowest = (dtype: DType): number => (dtype === "float16" ? -65504 : -3.3895313892515355e38);

interface Masks {
  readonly causal: boolean;
  /** Bool (true: look) or added to the scores; broadcasts to [batch, heads, queries, keys]. */
  readonly masks: readonly string[];
  readonly scale: number;
  readonly softcap: number;
}

/** Scores at the stages that may be asked for, and the result, [batch, heads, queries, valueWidth]. */
function attend(b: Emit, names: readonly [string, string, string], sizes: Attended, masking: Masks) {
  const [q, k, v] = names;
  const m = math(b);
  const { batch, heads, kvHeads, queries, keys, width, valueWidth } = sizes;
  const { dtype } = b.type(q);
  // heads that share keys lie side by side: as more rows of one product
  const grouped = [batch, kvHeads, (heads / kvHeads) * queries];
  const full = [batch, heads, queries, keys];
  const scaled = masking.scale === 1 ? q : m.mul(q, masking.scale);
  const turned = b.op("Transpose", [k], { perm: ints([0, 1, 3, 2]) });
  const raw = reshape(b, b.op("MatMul", [reshape(b, scaled, [...grouped, width]), turned]), full);
  const least = lowest(dtype);
  const triangle = (): string => {
    const seen = Array.from({ length: queries * keys }, (_, i) => (i % keys <= Math.floor(i / keys) ? 1 : 0));
    return b.constant("bool", [queries, keys], seen);
  };
  const { softcap } = masking;
  // capped before they are masked, as ONNX Runtime does: a masked score is not to be capped
  const capped = softcap ? m.mul(m.tanh(m.div(raw, softcap)), softcap) : raw;
  const masked = [...masking.masks, ...(masking.causal ? [triangle()] : [])].reduce(
    (scores, mask) =>
      isFloat(b.type(mask).dtype) ? m.add(scores, cast(b, mask, dtype)) : m.where(mask, scores, least),
    capped,
  );
  const shares = b.op("Softmax", [masked], { axis: int(-1) });
  const product = b.op("MatMul", [reshape(b, shares, [...grouped, keys]), v]);
  return {
    stages: [raw, capped, masked, shares],
    y: reshape(b, product, [batch, heads, queries, valueWidth]),
  };
}

const attentionSizes = (call: OpCall): Attended => {
  const heads = call.int("q_num_heads", 0);
  return attended(call, heads, call.int("kv_num_heads", heads));
};

/** Cosines, sines and the sizes that a rotary embedding turns by. */
interface Rotation {
  /** [batch or 1, 1, positions, pairs]. */
  readonly cosines: string;
  readonly sines: string;
  readonly pairs: number;
  readonly interleaved: boolean;
}

/** Turns each pair of the first elements of each head; `x` is [batch, heads, positions, width]. */
function rotated(b: Emit, x: string, { cosines, sines, pairs, interleaved }: Rotation): string {
  const m = math(b);
  const { shape } = b.type(x);
  const width = shape[3] as number;
  const cut = (y: string, sizes: readonly number[]): string[] =>
    b.add("Split", [y, b.vector(sizes)], { axis: int(-1) }, { count: sizes.length });
  const [turning, rest] = width > 2 * pairs ? cut(x, [2 * pairs, width - 2 * pairs]) : [x];
  const lead = shape.slice(0, 3);
  // interleaved pairs lie side by side, else a pair is as far apart as there are pairs
  const halves = interleaved
    ? cut(reshape(b, turning as string, [...lead, pairs, 2]), [1, 1]).map((y) => reshape(b, y, [...lead, pairs]))
    : cut(turning as string, [pairs, pairs]);
  const [p, q] = halves as [string, string];
  const turned = [m.sub(m.mul(p, cosines), m.mul(q, sines)), m.add(m.mul(p, sines), m.mul(q, cosines))];
  const parts = interleaved ? turned.map((y) => reshape(b, y, [...lead, pairs, 1])) : turned;
  const whole = reshape(b, b.op("Concat", parts, { axis: int(-1) }), [...lead, 2 * pairs]);
  return rest ? b.op("Concat", [whole, rest], { axis: int(-1) }) : whole;
}

/** A cache of cosines or sines for each position, [batch or 1, 1, positions, pairs]; `rows` picks from a table. */
function perPosition(call: BodyCall, index: number, rows: string | undefined): string {
  const { b } = call;
  const cache = rows ? b.op("Gather", [call.x(index), rows], { axis: int(0) }) : call.x(index);
  const { shape } = b.type(cache);
  const pairs = shape.at(-1) as number;
  const positions = shape.at(-2) as number;
  return reshape(b, cache, [shape.length > 2 ? (shape[0] as number) : 1, 1, positions, pairs]);
}

/** Applies a rotation to input 0, of rank 4 or 3. */
function rotateInput(call: BodyCall, heads: number, caches: readonly [number, number], rows?: string): string {
  const { b } = call;
  const { shape } = call.input(0);
  const given = call.int("rotary_embedding_dim", 0);
  const pairs = call.input(caches[0]).shape.at(-1) as number;
  const width = shape.length === 4 ? (shape[3] as number) : (shape[2] as number) / heads;
  if (!Number.isInteger(width) || (given && given !== 2 * pairs) || 2 * pairs > width)
    throw mismatch(call, `${pairs} pairs for [${shape}] in ${heads} heads`);
  const [cosines, sines] = caches.map((index) => perPosition(call, index, rows)) as [string, string];
  const rotation = { cosines, sines, pairs, interleaved: call.int("interleaved", 0) !== 0 };
  const y = rotated(b, asHeads(b, call.x(0), heads), rotation);
  return shape.length === 4 ? y : asRows(b, y);
}

const rotaryFlops = (call: OpCall): number => 3 * inputSize(call);

const attentionFlops = ({ batch, heads, queries, keys, width, valueWidth }: Attended): number =>
  batch * heads * queries * keys * (2 * width + 2 * valueWidth + 5);

/** Q, K and V with their biases, if any, in heads. */
function biased(call: BodyCall, heads: number): readonly [string, string, string] {
  const { b } = call;
  const sizes = [0, 1, 2].map((i) => call.input(i).shape.at(-1) as number);
  const parts = call.inputs[3]
    ? b.add("Split", [call.x(3), b.vector(sizes)], { axis: int(0) }, { count: 3 })
    : [undefined, undefined, undefined];
  return parts.map((part, i) => {
    const x = part ? math(b).add(call.x(i), part) : call.x(i);
    return asHeads(b, x, heads);
  }) as [string, string, string];
}

/** Attention and what belongs to it. */
export const attention: OpTable = {
  Attention: composite(
    (call) => {
      const sizes = attentionSizes(call);
      const { batch, heads, kvHeads, queries, keys, width, valueWidth } = sizes;
      const { dtype, shape } = call.input(0);
      const y = shape.length === 4 ? [batch, heads, queries, valueWidth] : [batch, queries, heads * valueWidth];
      return [y, [batch, kvHeads, keys, width], [batch, kvHeads, keys, valueWidth], [batch, heads, queries, keys]].map(
        (each) => ({ dtype, shape: each }),
      );
    },
    (call) => {
      const { b, node } = call;
      refuse(call, { 4: "past keys", 5: "past values", 6: "sequence lengths" });
      const sizes = attentionSizes(call);
      const [q, k, v] = [
        asHeads(b, call.x(0), sizes.heads),
        asHeads(b, call.x(1), sizes.kvHeads),
        asHeads(b, call.x(2), sizes.kvHeads),
      ] as const;
      const { y, stages } = attend(b, [q, k, v], sizes, {
        causal: call.int("is_causal", 0) !== 0,
        masks: call.inputs[3] ? [call.x(3)] : [],
        scale: call.float("scale", 1 / Math.sqrt(sizes.width)),
        softcap: call.float("softcap", 0),
      });
      const stage = stages[call.int("qk_matmul_output_mode", 0)];
      if (node.outputs[3] && !stage) throw unsupported(call, "qk_matmul_output_mode");
      return [call.input(0).shape.length === 4 ? y : asRows(b, y), k, v, stage ?? ""];
    },
    { since: 23, inputTypes: "any", flops: (call) => attentionFlops(attentionSizes(call)), buffers: [3] },
  ),
  RotaryEmbedding: composite(
    sameType,
    (call) => {
      const heads = call.int("num_heads", call.input(0).shape.length === 4 ? (call.input(0).shape[1] as number) : 0);
      if (heads < 1) throw mismatch(call, `[${call.input(0).shape}] in ${heads} heads`);
      return [rotateInput(call, heads, [1, 2], call.inputs[3] ? call.x(3) : undefined)];
    },
    { since: 23, flops: rotaryFlops, buffers: [1, 2] },
  ),
  /** (X, positions or the first one, cosines, sines). */
  "com.microsoft:RotaryEmbedding": composite(
    sameType,
    (call) => {
      const { b } = call;
      const { shape } = call.input(0);
      const pairs = call.input(2).shape.at(-1) as number;
      if (call.int("is_packed_batching", 0)) throw unsupported(call, "packed batches");
      if (call.float("scale", 1) !== 1) throw unsupported(call, "scale");
      const width = call.int("rotary_embedding_dim", 0) || 2 * pairs;
      const heads =
        shape.length === 4 ? (shape[1] as number) : call.int("num_heads", 0) || (shape[2] as number) / width;
      const positions = (shape.length === 4 ? shape[2] : shape[1]) as number;
      const given = call.input(1).shape;
      const steps = b.constant(
        "int64",
        [positions],
        Array.from({ length: positions }, (_, i) => i),
      );
      const rows = given.length === 2 ? call.x(1) : math(b).add(steps, call.x(1));
      return [rotateInput(call, heads, [2, 3], rows)];
    },
    { schema: contribSchemas.RotaryEmbedding, flops: rotaryFlops, buffers: [2, 3] },
  ),
  /** (Q, K, V, bias, key mask, added to the scores), each [batch, positions, heads·width]. */
  "com.microsoft:MultiHeadAttention": composite(
    (call) => {
      const { batch, queries, heads, valueWidth } = multiHead(call);
      return [{ dtype: call.input(0).dtype, shape: [batch, queries, heads * valueWidth] }];
    },
    (call) => {
      const { b } = call;
      refuse(call, { 6: "past keys", 7: "past values" });
      const sizes = multiHead(call);
      const masks: string[] = [];
      if (call.inputs[4]) {
        const { shape } = call.input(4);
        if (shape.join() !== [sizes.batch, sizes.keys].join()) throw unsupported(call, `key mask [${shape}]`);
        masks.push(reshape(b, cast(b, call.x(4), "bool"), [sizes.batch, 1, 1, sizes.keys]));
      }
      if (call.inputs[5]) masks.push(call.x(5));
      const { y } = attend(b, biased(call, sizes.heads), sizes, {
        causal: call.int("unidirectional", 0) !== 0,
        masks,
        scale: call.float("scale", 0) || 1 / Math.sqrt(sizes.width),
        softcap: 0,
      });
      return [asRows(b, y)];
    },
    { schema: contribSchemas.MultiHeadAttention, flops: (call) => attentionFlops(multiHead(call)), buffers: [4, 5] },
  ),
};

/** Throws `unsupported: …` for packed queries, keys and values. */
function multiHead(call: OpCall): Attended {
  if (!call.inputs[1] || !call.inputs[2] || [0, 1, 2].some((i) => call.input(i).shape.length !== 3))
    throw unsupported(call, "packed queries, keys and values");
  const heads = call.int("num_heads", 0);
  return attended(call, heads, heads);
}
