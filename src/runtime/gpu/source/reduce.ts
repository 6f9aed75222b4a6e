import { type DType, elementCount } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

/** A tensor seen as [before, kept, after]: summed over the outer two. */
export interface ReducedShape {
  readonly before: number;
  readonly kept: number;
  readonly after: number;
}

/** Several such tensors one after another: [outer, before, kept, after], summed over `before` and `after`. */
export interface RepeatedShape extends ReducedShape {
  readonly outer: number;
}

/**
 * How a reduction over those axes goes over memory; undefined if the axes that stay do not lie side by side, those before
 * all others apart.
 */
export function reducedShape(shape: readonly number[], axes: readonly number[]): RepeatedShape | undefined {
  const whole = sideBySide(shape, axes);
  if (whole) return { outer: 1, ...whole };
  const reduced = shape.findIndex((n, axis) => n !== 1 && axes.includes(axis));
  const rest = sideBySide(
    shape.slice(reduced),
    axes.map((axis) => axis - reduced),
  );
  return rest && { outer: elementCount(shape.slice(0, reduced)), ...rest };
}

function sideBySide(shape: readonly number[], axes: readonly number[]): ReducedShape | undefined {
  const isReduced = shape.map((n, axis) => n === 1 || axes.includes(axis));
  const first = isReduced.indexOf(false);
  if (first < 0) return { before: elementCount(shape), kept: 1, after: 1 };
  const last = isReduced.lastIndexOf(false);
  const middle = shape.slice(first, last + 1);
  if (middle.some((n, i) => n !== 1 && isReduced[first + i])) return undefined;
  return {
    before: elementCount(shape.slice(0, first)),
    kept: elementCount(middle),
    after: elementCount(shape.slice(last + 1)),
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

/** Blocks for each multiprocessor: enough to fill it several times over. */
const blocksPerMultiprocessor = 8;

/**
 * CUDA C of a sum over [outer, before, kept, after] → [outer, kept], divided by \`divisor\`. The order of additions is fixed, so the
 * bits are the same each time on GPUs with that many multiprocessors. Parameters: input, output; of the first kernel of
 * two: input, workspace; of the second: workspace, output.
 */
export function reductionSource(
  dtype: DType,
  { outer, before, kept, after }: RepeatedShape,
  divisor: number,
  multiprocessors: number,
): ReductionSource {
  const wantedBlocks = multiprocessors * blocksPerMultiprocessor;
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  const computeBytes = dtype === "float64" ? 8 : 4;
  const finish = (sum: string): string => (divisor === 1 ? sum : `${sum} / (${compute})${divisor}`);
  const isColumns = after === 1 && kept >= 16;
  const length = before * after;
  const columnBlocks = Math.ceil(kept / 32);
  const units = outer * (isColumns ? columnBlocks : kept);
  const all = outer * kept;
  const most = Math.max(1, Math.ceil(length / (isColumns ? 32 : threads * 4)));
  const parts = Math.max(1, Math.min(most, Math.ceil(wantedBlocks / units), 512));
  const chunk = Math.ceil(length / parts);
  const target = (at: string, sum: string): string =>
    parts === 1 ? `out[${at}] = mutwo_out<${memory}>(${finish(sum)});` : `out[part * ${all}u + ${at}] = ${sum};`;
  const outType = parts === 1 ? memory : compute;
  // of several tensors: which one, and where its elements and its sums begin
  const isOne = outer === 1;
  const own = (at: string): string => (isOne ? at : `tensor * ${kept}u + ${at}`);
  const begin = isOne ? "" : `(size_t)tensor * ${length * kept}u + `;
  /** Which part a block sums up, and of which tensor; blocks of one tensor's unit are `count`. */
  const place = (count: number): string =>
    isOne
      ? `part = blockIdx.x / ${count}u`
      : `tensor = blockIdx.x / ${count}u % ${outer}u, part = blockIdx.x / ${count * outer}u`;
  const body = isColumns
    ? `  __shared__ ${compute} sums[8][33];
  const unsigned column = (blockIdx.x % ${columnBlocks}u) * 32u + threadIdx.x % 32u, ${place(columnBlocks)};
  const unsigned end = min(${length}u, (part + 1u) * ${chunk}u);
  ${compute} sum = 0;
  if (column < ${kept}u) {
    #pragma unroll 4
    for (unsigned row = part * ${chunk}u + threadIdx.x / 32u; row < end; row += 8u)
      sum = sum + mutwo_in<${compute}>(x[${begin}(size_t)row * ${kept}u + column]);
  }
  sums[threadIdx.x / 32u][threadIdx.x % 32u] = sum;
  __syncthreads();
  if (threadIdx.x < 32u && column < ${kept}u) {
    for (int i = 1; i < 8; i++) sum = sum + sums[i][threadIdx.x];
    ${target(own("column"), "sum")}
  }`
    : `  __shared__ ${compute} sums[8];
  const unsigned k = blockIdx.x % ${kept}u, ${place(kept)};
  const unsigned end = min(${length}u, (part + 1u) * ${chunk}u);
  ${compute} sum = 0;
  #pragma unroll 4
  for (unsigned i = part * ${chunk}u + threadIdx.x; i < end; i += ${threads}u)
    sum = sum + mutwo_in<${compute}>(x[${begin}(size_t)(i / ${after}u) * ${kept * after}u + k * ${after}u + i % ${after}u]);
  for (int o = 16; o; o /= 2) sum = sum + __shfl_xor_sync(0xffffffffu, sum, o);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < 8; i++) sum = sum + sums[i];
    ${target(own("k"), "sum")}
  }`;
  const first = named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* x, ${outType}* out) {\n${body}\n}\n`,
    units * parts,
    threads,
  );
  if (parts === 1) return { first, workspaceBytes: 0 };
  const second = named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${compute}* parts, ${memory}* out) {
  const unsigned column = blockIdx.x * 32u + threadIdx.x / 8u, at = threadIdx.x % 8u;
  ${compute} sum = 0;
  if (column < ${all}u) for (unsigned part = at; part < ${parts}u; part += 8u) sum = sum + parts[part * ${all}u + column];
  for (int o = 4; o; o /= 2) sum = sum + __shfl_xor_sync(0xffffffffu, sum, o);
  if (column < ${all}u && at == 0u) out[column] = mutwo_out<${memory}>(${finish("sum")});
}
`,
    Math.ceil(all / 32),
    threads,
  );
  return { first, second, workspaceBytes: parts * all * computeBytes };
}
