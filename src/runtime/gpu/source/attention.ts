import type { DType } from "../../../graph/graph.js";
import { elementBytes, instructions, type Kind } from "./attention-instructions.js";
import { masking } from "./attention-masking.js";
import { forwardPass, keysPass, queriesPass } from "./attention-passes.js";
import { tiles } from "./attention-tiles.js";
import { literal } from "./expressions.js";
import { type KernelSource, named } from "./kernel.js";

/** Elements from a batch to the next, a head, a position. */
export type Strides = readonly [batch: number, head: number, position: number];

/** An attention's sizes, masks and layouts. */
export interface AttentionShape {
  readonly batch: number;
  readonly heads: number;
  /** Fewer than `heads` where groups of heads share keys and values. */
  readonly kvHeads: number;
  readonly queries: number;
  readonly keys: number;
  /** Elements of a head: a multiple of 8, at most 128. */
  readonly width: number;
  /** What Q·Kᵀ is multiplied by; positive. */
  readonly scale: number;
  /** Query i sees the keys up to i + ahead; undefined: all. */
  readonly ahead: number | undefined;
  /** Rows that see no key are 0, not NaN. */
  readonly zeroHidden: boolean;
  /** What is added to the scores: its type, and its strides with that of a key (0 where it is broadcast). */
  readonly mask: { readonly dtype: DType; readonly strides: readonly [...Strides, key: number] } | undefined;
  readonly strides: { readonly q: Strides; readonly k: Strides; readonly v: Strides; readonly y: Strides };
}

/** How a kernel goes about it. */
export interface Tiling {
  /** Times 16 rows of a warp. */
  readonly mt: number;
  readonly warps: number;
  /** Rows of what is streamed, and how many such tiles are there at a time: 2, if the next is fetched meanwhile. */
  readonly bn: number;
  readonly stages: 1 | 2;
  /** Whether the rows of the first and second left operand stay in registers. */
  readonly keep: readonly [boolean, boolean];
  /** Blocks that a multiprocessor is to hold. */
  readonly blocks: number;
}

/** Fewest queries from which a warp does well to take more of them, though masks leave it less to do. */
const long = 1024;

/** How a pass goes about it: what was fastest on an H100 of what was tried. */
export function tilingOf(pass: Pass, kind: Kind, { width, queries, ahead }: AttentionShape): Tiling {
  const half = elementBytes[kind] === 2;
  const narrow = padded(width) <= 64;
  const common = { warps: 4, blocks: 2 };
  if (!half && !narrow) return { ...common, mt: 1, bn: pass === "forward" ? 64 : 32, stages: 1, keep: [false, false] };
  if (pass === "forward") {
    const bn = half ? 64 : 32;
    return { ...common, mt: narrow ? 2 : 1, bn, stages: 2, keep: [half, false] };
  }
  const keeps = half && pass === "queries";
  if (!narrow && pass === "keys") return { ...common, mt: 1, bn: 64, stages: 2, keep: [false, false], blocks: 1 };
  if (!narrow) return { ...common, mt: 1, bn: 32, stages: 2, keep: [keeps, keeps] };
  if (half && ahead !== undefined && queries < long) return { ...common, mt: 1, bn: 64, stages: 2, keep: [true, true] };
  return { ...common, mt: 2, bn: 32, stages: 2, keep: [keeps, keeps] };
}

/** Shared memory that no tiling exceeds: what the kernels were measured with, and not all GPUs have. */
export const mostShared = 106 * 1024;

/** Which pass over an attention. */
export type Pass = "forward" | "queries" | "keys";

const memoryOf = (kind: Kind): string => (elementBytes[kind] === 2 ? "unsigned short" : "float");

/** Width that is computed with: whole steps of the tensor cores. */
const padded = (width: number): number => Math.ceil(width / 16) * 16;

/** Elements from a row to the next in shared memory. */
const rowLength = (kind: Kind, width: number): number => padded(width) + 16 / elementBytes[kind];

/** How an element of a mask is read: 16-bit types without their headers. */
function maskElement(dtype: DType): { readonly memory: string; readonly value: string } {
  if (dtype === "bfloat16") return { memory: "unsigned short", value: "__uint_as_float((unsigned)m << 16)" };
  if (dtype === "float16") return { memory: "unsigned short", value: "half_value(m)" };
  return { memory: dtype === "float64" ? "double" : "float", value: "(float)m" };
}

const halfValue = `
__device__ __forceinline__ float half_value(unsigned short x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
`;

/** Constants and helpers of a kernel, as the inside of a namespace. */
function vocabulary(kind: Kind, shape: AttentionShape, tiling: Tiling): string {
  const { batch, heads, kvHeads, queries, keys, width, scale, ahead, zeroHidden, mask, strides } = shape;
  const { mt, warps, bn, stages, keep } = tiling;
  const number = (value: number): string => literal("float32", value);
  const list = (name: string, values: readonly number[]): string =>
    `constexpr long long ${values.map((value, i) => `${name}${i} = ${value}`).join(", ")};`;
  const { memory, value } = maskElement(mask?.dtype ?? "float32");
  return `typedef ${memoryOf(kind)} T;
typedef float C;
typedef ${memory} M;
constexpr int W = ${width}, D = ${padded(width)}, LD = ${rowLength(kind, width)}, DT = D / 8;
constexpr int BATCH = ${batch}, HEADS = ${heads}, GROUP = ${heads / kvHeads}, LQ = ${queries}, LK = ${keys};
constexpr int MT = ${mt}, BM = ${16 * mt * warps}, BN = ${bn}, NT = BN / 8, THREADS = ${32 * warps}, STAGES = ${stages};
constexpr bool KEEP0 = ${keep[0]}, KEEP1 = ${keep[1]};
constexpr bool CAUSAL = ${ahead !== undefined}, ZERO_HIDDEN = ${zeroHidden}, MASKED = ${mask !== undefined};
constexpr int AHEAD = ${ahead ?? 0};
constexpr C SCALE = ${number(scale)}, FACTOR = ${number(scale * Math.LOG2E)};
${list("Q", strides.q)}
${list("K", strides.k)}
${list("V", strides.v)}
${list("Y", strides.y)}
${list("M", mask?.strides ?? [0, 0, 0, 0])}
${instructions[kind]}${mask?.dtype === "float16" && kind !== "float16" ? halfValue : ""}${tiles[kind]}
__device__ __forceinline__ C hidden() { return ${number(Number.NEGATIVE_INFINITY)}; }
/** What is added to a score, for powers of 2; what is finite stays so. */
__device__ __forceinline__ C mask_value(M m) {
  const C x = ${mask?.dtype === "float16" && kind === "float16" ? "widen(m)" : value};
  return x == hidden() ? x : most_of(x * ${number(Math.LOG2E)}, ${number(-3.4028234663852886e38)});
}
${masking}`;
}

const passes: Readonly<Record<Pass, { readonly parameters: string; readonly body: string }>> = {
  forward: {
    parameters: "const T* q, const T* k, const T* v, const M* mask, T* y, C* statistics",
    body: forwardPass,
  },
  queries: {
    parameters:
      "const T* q, const T* k, const T* v, const M* mask, const T* y, const T* dy, const C* statistics, T* dq, C* delta",
    body: queriesPass,
  },
  keys: {
    parameters:
      "const T* q, const T* k, const T* v, const M* mask, const T* dy, const C* statistics, const C* delta, T* dk, T* dv",
    body: keysPass,
  },
};

/**
 * CUDA C of softmax(scale·Q·Kᵀ + mask)·V and of its gradient, tile by tile, without the scores in memory (Dao 2023:
 * FlashAttention-2). \`forward\` gives Y and, of each row, the largest score and one over the sum of the powers (in powers
 * of 2); \`queries\` gives dQ and the rows' sums of dY·Y, which \`keys\` reads to give dK and dV. A pass owns its results'
 * rows and goes over the rest in order: the bits are the same each time. Addresses 0 stand for no mask, and for results
 * that are not wanted.
 */
export function attentionSource(pass: Pass, kind: Kind, shape: AttentionShape, tiling: Tiling): KernelSource {
  const { batch, heads, kvHeads, queries, keys, width } = shape;
  const { mt, warps, bn, stages, blocks } = tiling;
  const rows = 16 * mt * warps;
  const { parameters, body } = passes[pass];
  const [over, lines] = pass === "keys" ? [keys, kvHeads] : [queries, heads];
  const own = pass === "forward" ? rows : 2 * rows;
  const tileBytes = (own + 2 * stages * bn) * rowLength(kind, width) * elementBytes[kind];
  const columnBytes = pass === "keys" ? 3 * stages * bn * 4 : 0;
  const source = named(
    (name) => `namespace ${name}_ {
${vocabulary(kind, shape, tiling)}
extern "C" __global__ void __launch_bounds__(${32 * warps}, ${blocks}) ${name}(${parameters}) {
${body}}
}
`,
    batch * lines * Math.ceil(over / rows),
    32 * warps,
  );
  return { ...source, sharedBytes: tileBytes + columnBytes };
}
