import { bytesPerElement, type DType, elementCount } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

/** A tensor seen as [outer, before, kept, after]: summed over `before` and `after`. */
export interface ReducedShape {
  /** Absent, or 1, where all that stays lies side by side. */
  readonly outer?: number;
  readonly before: number;
  readonly kept: number;
  readonly after: number;
}

/**
 * How a reduction over those axes goes over memory; undefined if the axes that stay lie neither side by side nor at the two
 * ends.
 */
export function reducedShape(shape: readonly number[], axes: readonly number[]): ReducedShape | undefined {
  const isReduced = shape.map((n, axis) => n === 1 || axes.includes(axis));
  const first = isReduced.indexOf(false);
  if (first < 0) return { before: elementCount(shape), kept: 1, after: 1 };
  const last = isReduced.lastIndexOf(false);
  const middle = shape.slice(first, last + 1);
  if (middle.some((n, i) => n !== 1 && isReduced[first + i])) return atEnds(shape, isReduced);
  return {
    before: elementCount(shape.slice(0, first)),
    kept: elementCount(middle),
    after: elementCount(shape.slice(last + 1)),
  };
}

/** The same for axes of which those that are reduced lie side by side, and none at an end. */
function atEnds(shape: readonly number[], isReduced: readonly boolean[]): ReducedShape | undefined {
  const isGone = isReduced.map((reduced, axis) => reduced && shape[axis] !== 1);
  const [first, last] = [isGone.indexOf(true), isGone.lastIndexOf(true)];
  if (shape.slice(first, last + 1).some((n, i) => n !== 1 && !isGone[first + i])) return undefined;
  return {
    outer: elementCount(shape.slice(0, first)),
    before: elementCount(shape.slice(first, last + 1)),
    kept: elementCount(shape.slice(last + 1)),
    after: 1,
  };
}

/** Sums in two kernels: parts into a workspace, then over the parts; one kernel where there is one part. */
export interface ReductionSource {
  readonly first: KernelSource;
  /** Reads the workspace; absent where the first kernel writes the result. */
  readonly second?: KernelSource;
  readonly workspaceBytes: number;
}

const threads = 256;

/** Bytes that a thread reads at a time of rows whose columns stay, if they lie so. */
const pieceBytes = 8;

/** Blocks for each multiprocessor: enough to fill it several times over. */
const blocksPerMultiprocessor = 8;

/**
 * CUDA C of a sum over [outer, before, kept, after] → [outer, kept], divided by \`divisor\`. The order of additions is fixed, so the
 * bits are the same each time on GPUs with that many multiprocessors. Parameters: input, output; of the first kernel of
 * two: input, workspace; of the second: workspace, output. The output is of type `to`; `aligned`: the input begins at a
 * multiple of 16 bytes.
 */
export function reductionSource(
  dtype: DType,
  { outer = 1, before, kept, after }: ReducedShape,
  divisor: number,
  multiprocessors: number,
  { to = dtype, aligned = false }: { readonly to?: DType; readonly aligned?: boolean } = {},
): ReductionSource {
  const wantedBlocks = multiprocessors * blocksPerMultiprocessor;
  const [memory, result] = [dtype, to].map((one) => memoryTypes[one]) as [string, string];
  const compute = computeTypes[dtype] as string;
  const computeBytes = dtype === "float64" ? 8 : 4;
  const finish = (sum: string): string => (divisor === 1 ? sum : `${sum} / (${compute})${divisor}`);
  const isColumns = after === 1 && kept >= 16;
  const length = before * after;
  const piece = aligned ? Math.max(1, pieceBytes / bytesPerElement(dtype)) : 1;
  const width = [piece, 2].find((one) => one <= piece && kept % one === 0 && kept >= 32 * one) ?? 1;
  const columns = 32 * width;
  const columnBlocks = Math.ceil(kept / columns);
  const most = Math.max(1, Math.ceil(length / (isColumns ? 32 : threads * 4)));
  const parts = Math.max(1, Math.min(most, Math.ceil(wantedBlocks / outer / (isColumns ? columnBlocks : kept)), 512));
  const chunk = Math.ceil(length / parts);
  const target = (at: string, sum: string): string =>
    parts === 1
      ? `out[${at}] = mutwo_out<${result}>(${finish(sum)});`
      : `out[part * ${outer * kept}u + ${at}] = ${sum};`;
  // blocks of one part lie side by side
  const blocks = isColumns ? columnBlocks : kept;
  const [block, part] =
    outer === 1
      ? [`blockIdx.x % ${blocks}u`, `blockIdx.x / ${blocks}u`]
      : [`blockIdx.x % ${outer * blocks}u % ${blocks}u`, `blockIdx.x / ${outer * blocks}u`];
  const from = outer === 1 ? "" : `blockIdx.x % ${outer * blocks}u / ${blocks}u`;
  const base = from && `(size_t)(${from}) * ${length * kept}u + `;
  const place = (at: string): string => (from ? `${from} * ${kept}u + ${at}` : at);
  const outType = parts === 1 ? result : compute;
  const body = isColumns
    ? `  struct alignas(${width * bytesPerElement(dtype)}) Piece { ${memory} at[${width}]; };
  __shared__ ${compute} sums[8][${columns + 1}];
  const unsigned lane = threadIdx.x % 32u, group = threadIdx.x / 32u;
  const unsigned begin = (${block}) * ${columns}u, part = ${part};
  const unsigned end = min(${length}u, (part + 1u) * ${chunk}u);
  ${compute} sum[${width}];
  for (int i = 0; i < ${width}; i++) sum[i] = 0;
  if (begin + lane * ${width}u < ${kept}u) {
    #pragma unroll 4
    for (unsigned row = part * ${chunk}u + group; row < end; row += 8u) {
      const Piece piece = *(const Piece*)(x + ${base}(size_t)row * ${kept}u + begin + lane * ${width}u);
      #pragma unroll
      for (int i = 0; i < ${width}; i++) sum[i] = sum[i] + mutwo_in<${compute}>(piece.at[i]);
    }
  }
  for (int i = 0; i < ${width}; i++) sums[group][lane * ${width}u + i] = sum[i];
  __syncthreads();
  if (threadIdx.x < ${columns}u && begin + threadIdx.x < ${kept}u) {
    ${compute} total = sums[0][threadIdx.x];
    for (int i = 1; i < 8; i++) total = total + sums[i][threadIdx.x];
    const unsigned column = begin + threadIdx.x;
    ${target(place("column"), "total")}
  }`
    : `  __shared__ ${compute} sums[8];
  const unsigned k = ${block}, part = ${part};
  const unsigned end = min(${length}u, (part + 1u) * ${chunk}u);
  ${compute} sum = 0;
  #pragma unroll 4
  for (unsigned i = part * ${chunk}u + threadIdx.x; i < end; i += ${threads}u)
    sum = sum + mutwo_in<${compute}>(x[${base}(size_t)(i / ${after}u) * ${kept * after}u + k * ${after}u + i % ${after}u]);
  for (int o = 16; o; o /= 2) sum = sum + __shfl_xor_sync(0xffffffffu, sum, o);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < 8; i++) sum = sum + sums[i];
    ${target(place("k"), "sum")}
  }`;
  const first = named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* x, ${outType}* out) {\n${body}\n}\n`,
    outer * blocks * parts,
    threads,
  );
  if (parts === 1) return { first, workspaceBytes: 0 };
  const second = named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${compute}* parts, ${result}* out) {
  const unsigned column = blockIdx.x * 32u + threadIdx.x / 8u, at = threadIdx.x % 8u;
  ${compute} sum = 0;
  if (column < ${outer * kept}u) for (unsigned part = at; part < ${parts}u; part += 8u) sum = sum + parts[part * ${outer * kept}u + column];
  for (int o = 4; o; o /= 2) sum = sum + __shfl_xor_sync(0xffffffffu, sum, o);
  if (column < ${outer * kept}u && at == 0u) out[column] = mutwo_out<${result}>(${finish("sum")});
}
`,
    Math.ceil((outer * kept) / 32),
    threads,
  );
  return { first, second, workspaceBytes: parts * outer * kept * computeBytes };
}
