import type { DType } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

const rowsPerBlock = 8;

/** Indices that a block goes through at least, where several share a table. */
const leastPerPart = 64;

/** Sums of parts of the indices into a workspace, then over the parts; one kernel where there is one part. */
export interface ScatterSource {
  readonly first: KernelSource;
  /** Reads the workspace; absent where the first kernel writes the result. */
  readonly second?: KernelSource;
  readonly workspaceBytes: number;
}

/**
 * CUDA C that adds `count` rows of `width` elements to rows of a table of `size` rows, at int64 indices: the gradient of
 * a look-up. Each block owns a few rows of the table and some columns, and goes through the indices in order; a small
 * table is summed in as many parts of the indices as fill the device. The order of additions is fixed. Parameters: table
 * before, indices, rows, table after (which may be the table before); of the first kernel of two: table before, indices,
 * rows, workspace; of the second: table before, workspace, table after.
 */
export function scatterSource(
  dtype: DType,
  size: number,
  width: number,
  count: number,
  multiprocessors: number,
): ScatterSource {
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  const tables = Math.ceil(size / rowsPerBlock);
  const strips = Math.ceil(width / threads);
  const parts = Math.max(
    1,
    Math.min(Math.floor(count / leastPerPart), Math.floor((2 * multiprocessors) / (tables * strips))),
  );
  const chunk = Math.ceil(count / parts);
  const isWhole = parts === 1;
  const start = isWhole ? `mutwo_in<${compute}>(before[(base + k) * ${width} + column])` : `(${compute})0`;
  const result = isWhole
    ? `after[(base + k) * ${width} + column] = mutwo_out<${memory}>(sums[k]);`
    : `after[((long long)part * ${size} + base + k) * ${width} + column] = sums[k];`;
  const first = named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* before, const long long* index, const ${memory}* rows, ${isWhole ? memory : compute}* after) {
  __shared__ int hits[${threads}];
  __shared__ int counts[${threads / 32}];
  const long long base = (long long)(blockIdx.x % ${tables}u) * ${rowsPerBlock};
  const int column = blockIdx.x / ${tables}u % ${strips}u * ${threads} + threadIdx.x;
  const int part = blockIdx.x / ${tables * strips}u, end = min(${count}, (part + 1) * ${chunk});
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ${compute} sums[${rowsPerBlock}];
  #pragma unroll
  for (int k = 0; k < ${rowsPerBlock}; k++)
    sums[k] = column < ${width} && base + k < ${size}LL ? ${start} : (${compute})0;
  for (int start = part * ${chunk}; start < end; start += ${threads}) {
    const int at = start + threadIdx.x;
    long long row = at < end ? index[at] : -1;
    if (row < 0 && at < end) row += ${size};
    const bool mine = row >= base && row < base + ${rowsPerBlock};
    if (!__syncthreads_or(mine)) continue;
    const unsigned votes = __ballot_sync(0xffffffffu, mine);
    if (lane == 0) counts[warp] = __popc(votes);
    __syncthreads();
    int before_me = __popc(votes & ((1u << lane) - 1u)), total = 0;
    for (int w = 0; w < ${threads / 32}; w++) {
      if (w < warp) before_me += counts[w];
      total += counts[w];
    }
    if (mine) hits[before_me] = at * ${rowsPerBlock} + (int)(row - base);
    __syncthreads();
    if (column < ${width})
      #pragma unroll 4
      for (int h = 0; h < total; h++) {
        const ${compute} value = mutwo_in<${compute}>(rows[(long long)(hits[h] / ${rowsPerBlock}) * ${width} + column]);
        #pragma unroll
        for (int k = 0; k < ${rowsPerBlock}; k++) if (hits[h] % ${rowsPerBlock} == k) sums[k] = sums[k] + value;
      }
    __syncthreads();
  }
  if (column < ${width})
    #pragma unroll
    for (int k = 0; k < ${rowsPerBlock}; k++)
      if (base + k < ${size}LL) ${result}
}
`,
    tables * strips * parts,
    threads,
  );
  if (isWhole) return { first, workspaceBytes: 0 };
  const elements = size * width;
  const second = named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* before, const ${compute}* parts, ${memory}* after) {
  const unsigned i = blockIdx.x * ${threads}u + threadIdx.x;
  if (i >= ${elements}u) return;
  ${compute} sum = mutwo_in<${compute}>(before[i]);
  for (int part = 0; part < ${parts}; part++) sum = sum + parts[(size_t)part * ${elements}u + i];
  after[i] = mutwo_out<${memory}>(sum);
}
`,
    Math.ceil(elements / threads),
    threads,
  );
  return { first, second, workspaceBytes: parts * elements * (dtype === "float64" ? 8 : 4) };
}
