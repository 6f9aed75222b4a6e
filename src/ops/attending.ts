import { NodeError } from "../graph/errors.js";
import { type DType, elementCount, int, ints, isFloat } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { math } from "./math.js";
import type { OpCall } from "./op.js";
import { cast, expandTo, reshape } from "./shapes.js";

/** Sizes of an attention; `queries` and `keys` are positions. */
export interface Attended {
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

/** The error for inputs of an attention that do not fit each other. */
export const mismatch = (call: OpCall, what: string): Error => new NodeError(`shape mismatch: ${what}`, call.node);

/** The error for a form of an op that mutwo does not build. */
export const unsupportedForm = (call: OpCall, what: string): Error =>
  new NodeError(`unsupported: ${what} of ${call.node.op}`, call.node);

/** Throws `shape mismatch: …` for an input that has none of these ranks; one that is absent has no rank. */
export function checkRank(call: OpCall, index: number, ...ranks: readonly number[]): void {
  const shape = call.inputs[index]?.shape;
  if (shape && !ranks.includes(shape.length))
    throw mismatch(call, `input ${index} of ${call.node.op} is [${shape}], not of rank ${ranks.join(" or ")}`);
}

/** [batch, positions, heads·width] as [batch, heads, positions, width]; a tensor of rank 4 as it is. */
export function asHeads(b: Emit, x: string, heads: number): string {
  const { shape } = b.type(x);
  if (shape.length === 4) return x;
  const [batch = 1, positions = 1, all = 1] = shape;
  return b.op("Transpose", [reshape(b, x, [batch, positions, heads, all / heads])], { perm: ints([0, 2, 1, 3]) });
}

/** The other way round. */
export function asRows(b: Emit, x: string): string {
  const [batch = 1, heads = 1, positions = 1, width = 1] = b.type(x).shape;
  const turned = b.op("Transpose", [x], { perm: ints([0, 2, 1, 3]) });
  return reshape(b, turned, [batch, positions, heads * width]);
}

/** A tensor in parts along an axis. */
export const cut = (b: Emit, x: string, sizes: readonly number[], axis = -1): string[] =>
  sizes.length === 1 ? [x] : b.add("Split", [x, b.vector(sizes)], { axis: int(axis) }, { count: sizes.length });

/** What an earlier step has left of keys or values, and the new ones behind it: [batch, heads, positions, width]. */
export const behind = (b: Emit, past: string | undefined, x: string): string =>
  past && elementCount(b.type(past).shape) > 0 ? b.op("Concat", [past, x], { axis: int(2) }) : x;

/** The least finite number that bfloat16 rounds to a finite one: rows that are masked as a whole stay numbers. */
export const lowest = (dtype: DType): number => (dtype === "float16" ? -65504 : -3.3895313892515355e38);

/** A mask of the positions that each query sees, [queries, keys]. */
export function pattern(b: Emit, queries: number, keys: number, sees: (query: number, key: number) => boolean): string {
  const seen = Array.from({ length: queries * keys }, (_, i) => (sees(Math.floor(i / keys), i % keys) ? 1 : 0));
  return b.constant("bool", [queries, keys], seen);
}

/** What happens to scores before and in the softmax. */
export interface Scoring {
  /** Bool (true: look) or added to the scores; broadcast to [batch, heads, queries, keys], applied in turn. */
  readonly masks: readonly string[];
  readonly scale: number;
  /** Scores are bounded to ±softcap before they are masked; 0: they are not. */
  readonly softcap?: number;
  /** A score of each head that takes its share and has no value; broadcasts to [batch, heads, queries, 1]. */
  readonly sink?: string;
}

/** Shares of scores that a sink has its part of. */
function sharesBeside(b: Emit, scores: string, sink: string): string {
  const { shape } = b.type(scores);
  const column = expandTo(b, sink, [...shape.slice(0, 3), 1]);
  const all = b.op("Softmax", [b.op("Concat", [scores, column], { axis: int(-1) })], { axis: int(-1) });
  return cut(b, all, [shape[3] as number, 1])[0] as string;
}

/** Scores at the stages that may be asked for, and the result, [batch, heads, queries, valueWidth]. */
export function attend(b: Emit, names: readonly [string, string, string], sizes: Attended, scoring: Scoring) {
  const [q, k, v] = names;
  const m = math(b);
  const { batch, heads, kvHeads, queries, keys, width, valueWidth } = sizes;
  const { dtype } = b.type(q);
  // heads that share keys lie side by side: as more rows of one product
  const grouped = [batch, kvHeads, (heads / kvHeads) * queries];
  const full = [batch, heads, queries, keys];
  const scaled = scoring.scale === 1 ? q : m.mul(q, scoring.scale);
  const turned = b.op("Transpose", [k], { perm: ints([0, 1, 3, 2]) });
  const raw = reshape(b, b.op("MatMul", [reshape(b, scaled, [...grouped, width]), turned]), full);
  const { softcap = 0, sink } = scoring;
  // capped before they are masked, as ONNX Runtime does: a masked score is not to be capped
  const capped = softcap ? m.mul(m.tanh(m.div(raw, softcap)), softcap) : raw;
  const masked = scoring.masks.reduce(
    (scores, mask) =>
      isFloat(b.type(mask).dtype) ? m.add(scores, cast(b, mask, dtype)) : m.where(mask, scores, lowest(dtype)),
    capped,
  );
  const shares = sink ? sharesBeside(b, masked, sink) : b.op("Softmax", [masked], { axis: int(-1) });
  const product = b.op("MatMul", [reshape(b, shares, [...grouped, keys]), v]);
  return {
    stages: [raw, capped, masked, shares] as const,
    y: reshape(b, product, [batch, heads, queries, valueWidth]),
  };
}

/** Operations of an attention between its projections. */
export const attentionFlops = ({ batch, heads, queries, keys, width, valueWidth }: Attended): number =>
  batch * heads * queries * keys * (2 * width + 2 * valueWidth + 5);
