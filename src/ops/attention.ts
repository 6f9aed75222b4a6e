import { elementCount, int, isFloat, type TensorType } from "../graph/graph.js";
import {
  type Attended,
  asHeads,
  asRows,
  attend,
  attentionFlops,
  behind,
  lowest,
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

/**
 * Sizes from Q, K, V of shape [batch, heads, positions, width], or [batch, positions, heads·width] with heads as
 * attributes say.
 */
function sizesOf(call: OpCall): Whole {
  const qHeads = call.int("q_num_heads", 0);
  const kvHeads = call.int("kv_num_heads", qHeads);
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
  const past = call.inputs[4]?.shape[2] ?? 0;
  const pasts = [
    [Q[0], K[1], past, K[3]],
    [Q[0], K[1], past, V[3]],
  ];
  if (!call.inputs[4] !== !call.inputs[5]) throw mismatch(call, "past keys without past values, or these without keys");
  [4, 5].forEach((index, i) => {
    const given = call.inputs[index]?.shape;
    if (given && given.join() !== pasts[i]?.join()) throw mismatch(call, `past [${given}] for ${shapes}`);
  });
  const [batch, heads, queries, width] = Q;
  return { batch, heads, kvHeads: K[1], queries, keys: past + K[2], width, valueWidth: V[3], past };
}

/** Whether a mask that is known lets every query see some key; `sees` is what it may see besides. */
function everyRowSees(
  values: readonly number[],
  { dtype, shape }: TensorType,
  { queries, keys }: Attended,
  sees: (query: number, key: number) => boolean,
): boolean {
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  const isOpen = isFloat(dtype) ? (value: number) => value > -8e37 : (value: number) => value !== 0;
  const blocks = elementCount(shape) / (rows * columns);
  const row = (block: number, query: number): boolean => {
    const from = (block * rows + (rows > 1 ? query : 0)) * columns;
    for (let key = 0; key < keys; key++)
      if (sees(query, key) && isOpen(values[from + (columns > 1 ? key : 0)] as number)) return true;
    return false;
  };
  for (let block = 0; block < blocks; block++)
    for (let query = 0; query < queries; query++) if (!row(block, query)) return false;
  return true;
}

/** The mask of input 3, where it ends before the keys filled up with what hides them. */
function givenMask({ b, input, x }: BodyCall, { keys }: Attended): string {
  const { dtype, shape } = input(3);
  const missing = keys - (shape.at(-1) ?? keys);
  if (missing <= 0 || shape.at(-1) === 1) return x(3);
  const pads = [...shape.map(() => 0), ...shape.map((_, axis) => (axis === shape.length - 1 ? missing : 0))];
  const seen = isFloat(dtype) ? x(3) : cast(b, x(3), "int32");
  const hidden = isFloat(dtype) ? b.scalar(Number.NEGATIVE_INFINITY, seen) : b.constant("int32", [], 0);
  const padded = b.op("Pad", [seen, b.vector(pads), hidden]);
  return cast(b, padded, dtype);
}

/**
 * What queries see: the mask of input 3, the keys that are no padding (input 6), those before each query. With it, what
 * to multiply the result by where a query may see nothing: such rows are zero.
 */
function masksOf(call: BodyCall, sizes: Whole): { masks: string[]; rows?: string } {
  const { b } = call;
  const m = math(b);
  const { batch, queries, keys, past } = sizes;
  const causal = call.int("is_causal", 0) !== 0;
  const masks: string[] = call.inputs[3] ? [givenMask(call, sizes)] : [];
  const isBefore = (query: number, key: number): boolean => !causal || key <= past + query;
  let isOpen = true;
  if (call.inputs[6]) {
    // the last query stands at the last key that is no padding
    const ends = reshape(b, cast(b, call.x(6), "int64"), [batch, 1, 1, 1]);
    const places = steps(b, [keys]);
    masks.push(m.less(places, ends));
    if (causal) {
      const queryPlaces = m.add(m.sub(ends, queries), steps(b, [queries, 1]));
      masks.push(m.lessOrEqual(places, queryPlaces));
    }
    isOpen = false;
  } else {
    if (causal) masks.push(pattern(b, queries, keys, isBefore));
    const known = call.constant(3);
    isOpen = !call.inputs[3] || (known ? everyRowSees(known, call.input(3), sizes, isBefore) : false);
  }
  if (isOpen) return { masks };
  const least = (mask: string): number => lowest(b.type(mask).dtype);
  const isAdded = (mask: string): boolean => isFloat(b.type(mask).dtype);
  const seen = masks
    .map((mask) => (isAdded(mask) ? m.greater(mask, least(mask) / 4) : mask))
    .reduce((one, other) => m.and(one, other));
  return {
    // a row of infinite scores has no shares
    masks: masks.map((mask) => (isAdded(mask) ? b.op("Max", [mask, b.scalar(least(mask), mask)]) : mask)),
    rows: b.op("ReduceMax", [cast(b, seen, call.input(0).dtype), b.vector([-1])], { keepdims: int(1) }),
  };
}

/** Attention as ONNX has it. */
export const attention: OpTable = {
  /** (Q, K, V, mask, past keys, past values, keys that are no padding) → (Y, keys, values, scores). */
  Attention: composite(
    (call) => {
      const { batch, heads, kvHeads, queries, keys, width, valueWidth } = sizesOf(call);
      const { dtype, shape } = call.input(0);
      const y = shape.length === 4 ? [batch, heads, queries, valueWidth] : [batch, queries, heads * valueWidth];
      return [y, [batch, kvHeads, keys, width], [batch, kvHeads, keys, valueWidth], [batch, heads, queries, keys]].map(
        (each) => ({ dtype, shape: each }),
      );
    },
    (call) => {
      const { b, node } = call;
      if (call.inputs[4] && call.inputs[6]) throw unsupportedForm(call, "past keys beside numbers of keys");
      const sizes = sizesOf(call);
      const past = (index: number): string | undefined => (call.inputs[index] ? call.x(index) : undefined);
      const q = asHeads(b, call.x(0), sizes.heads);
      const k = behind(b, past(4), asHeads(b, call.x(1), sizes.kvHeads));
      const v = behind(b, past(5), asHeads(b, call.x(2), sizes.kvHeads));
      const { masks, rows } = masksOf(call, sizes);
      const { y, stages } = attend(b, [q, k, v], sizes, {
        masks,
        scale: call.float("scale", 1 / Math.sqrt(sizes.width)),
        softcap: call.float("softcap", 0),
      });
      const stage = stages[call.int("qk_matmul_output_mode", 0)];
      if (node.outputs[3] && !stage) throw unsupportedForm(call, "qk_matmul_output_mode");
      const seen = rows ? math(b).mul(y, rows) : y;
      return [call.input(0).shape.length === 4 ? seen : asRows(b, seen), k, v, stage ?? ""];
    },
    { since: 23, inputTypes: "any", flops: (call) => attentionFlops(sizesOf(call)) },
  ),
};
