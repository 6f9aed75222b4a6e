import { elementCount, int } from "../graph/graph.js";
import { asHeads, asRows, checkRank, cut, mismatch, unsupportedForm } from "./attending.js";
import { composite } from "./composite.js";
import type { Emit } from "./emit.js";
import { inputSize, sameType } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { reshape } from "./shapes.js";

/** Cosines, sines and the sizes that a rotary embedding turns by. */
export interface Rotation {
  /** [batch or 1, 1, positions, pairs]. */
  readonly cosines: string;
  readonly sines: string;
  readonly pairs: number;
  readonly interleaved: boolean;
}

/** Turns each pair of the first elements of each head; `x` is [batch, heads, positions, width]. */
export function rotated(b: Emit, x: string, { cosines, sines, pairs, interleaved }: Rotation): string {
  const m = math(b);
  const { shape } = b.type(x);
  const width = shape[3] as number;
  const [turning, rest] = width > 2 * pairs ? cut(b, x, [2 * pairs, width - 2 * pairs]) : [x];
  const lead = shape.slice(0, 3);
  // interleaved pairs lie side by side, else a pair is as far apart as there are pairs
  const halves = interleaved
    ? cut(b, reshape(b, turning as string, [...lead, pairs, 2]), [1, 1]).map((y) => reshape(b, y, [...lead, pairs]))
    : cut(b, turning as string, [pairs, pairs]);
  const [p, q] = halves as [string, string];
  const turned = [m.sub(m.mul(p, cosines), m.mul(q, sines)), m.add(m.mul(p, sines), m.mul(q, cosines))];
  const parts = interleaved ? turned.map((y) => reshape(b, y, [...lead, pairs, 1])) : turned;
  const whole = reshape(b, b.op("Concat", parts, { axis: int(-1) }), [...lead, 2 * pairs]);
  return rest ? b.op("Concat", [whole, rest], { axis: int(-1) }) : whole;
}

/** A cache of cosines or sines for each position, [batch or 1, 1, positions, pairs]; `rows` picks from a table. */
function perPosition(call: BodyCall, index: number, rows: string | undefined): string {
  const { b } = call;
  const pairs = call.input(index).shape.at(-1) as number;
  const cache = rows ? b.op("Gather", [call.x(index), rows], { axis: int(0) }) : call.x(index);
  const { shape } = b.type(cache);
  const positions = shape.at(-2) as number;
  return reshape(b, cache, [shape.length > 2 ? (shape[0] as number) : 1, 1, positions, pairs]);
}

/** The rotation that inputs of a node say: caches of cosines and sines, and which of their rows, if not all in turn. */
export function rotationOf(
  call: BodyCall,
  caches: readonly [number, number],
  rows: string | undefined,
  interleaved: boolean,
): Rotation {
  const [cosines, sines] = caches.map((index) => perPosition(call, index, rows)) as [string, string];
  return { cosines, sines, pairs: call.input(caches[0]).shape.at(-1) as number, interleaved };
}

/** 0, 1, 2 and so on, int64. */
export const steps = (b: Emit, shape: readonly number[]): string =>
  b.constant(
    "int64",
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => i),
  );

/** Applies a rotation to input 0, of rank 4 or 3. */
function rotateInput(call: BodyCall, heads: number, caches: readonly [number, number], rows?: string): string {
  const { b } = call;
  const { shape } = call.input(0);
  const given = call.int("rotary_embedding_dim", 0);
  for (const cache of caches) checkRank(call, cache, rows ? 2 : 3);
  const pairs = call.input(caches[0]).shape.at(-1) as number;
  const width = shape.length === 4 ? (shape[3] as number) : (shape[2] as number) / heads;
  if (!Number.isInteger(width) || (given && given !== 2 * pairs) || 2 * pairs > width)
    throw mismatch(call, `${pairs} pairs for [${shape}] in ${heads} heads`);
  const rotation = rotationOf(call, caches, rows, call.int("interleaved", 0) !== 0);
  const y = rotated(b, asHeads(b, call.x(0), heads), rotation);
  return shape.length === 4 ? y : asRows(b, y);
}

const rotaryFlops = (call: OpCall): number => 3 * inputSize(call);

/** Embeddings of positions as rotations. */
export const rotary: OpTable = {
  RotaryEmbedding: composite(
    sameType,
    (call) => {
      checkRank(call, 0, 3, 4);
      checkRank(call, 3, 2);
      const heads = call.int("num_heads", call.input(0).shape.length === 4 ? (call.input(0).shape[1] as number) : 0);
      if (heads < 1) throw mismatch(call, `[${call.input(0).shape}] in ${heads} heads`);
      return [rotateInput(call, heads, [1, 2], call.inputs[3] ? call.x(3) : undefined)];
    },
    { since: 23, flops: rotaryFlops, buffers: { 1: "cosines", 2: "sines" } },
  ),
  /** (X, positions or the first one, cosines, sines). */
  "com.microsoft:RotaryEmbedding": composite(
    sameType,
    (call) => {
      const { b } = call;
      const { shape } = call.input(0);
      checkRank(call, 0, 3, 4);
      checkRank(call, 2, 2);
      const pairs = call.input(2).shape.at(-1) as number;
      if (call.int("is_packed_batching", 0)) throw unsupportedForm(call, "packed batches");
      if (call.float("scale", 1) !== 1) throw unsupportedForm(call, "scale");
      const width = call.int("rotary_embedding_dim", 0) || 2 * pairs;
      const heads =
        shape.length === 4 ? (shape[1] as number) : call.int("num_heads", 0) || (shape[2] as number) / width;
      const positions = (shape.length === 4 ? shape[2] : shape[1]) as number;
      const isEach = call.input(1).shape.length === 2;
      if (!isEach && positions > (call.input(2).shape[0] as number))
        throw mismatch(call, `${positions} positions for caches of [${call.input(2).shape}]`);
      const rows = isEach ? call.x(1) : math(b).add(steps(b, [positions]), call.x(1));
      return [rotateInput(call, heads, [2, 3], rows)];
    },
    { flops: rotaryFlops, buffers: { 2: "cosines", 3: "sines" } },
  ),
};
