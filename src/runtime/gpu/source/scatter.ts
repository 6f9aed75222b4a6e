import type { DType } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

const rowsPerBlock = 8;

/**
 * CUDA C that adds `count` rows of `width` elements to rows of a table of `size` rows, at int64 indices: the gradient of
 * a look-up. Each block owns a few rows of the table and some columns, and goes through all indices in order, so the
 * order of additions is fixed. Parameters: table before, indices, rows, table after (which may be the table before).
 */
export function scatterSource(dtype: DType, size: number, width: number, count: number): KernelSource {
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  const tables = Math.ceil(size / rowsPerBlock);
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* before, const long long* index, const ${memory}* rows, ${memory}* after) {
  __shared__ int hits[${threads}];
  __shared__ int counts[${threads / 32}];
  const long long base = (long long)(blockIdx.x % ${tables}u) * ${rowsPerBlock};
  const int column = blockIdx.x / ${tables}u * ${threads} + threadIdx.x;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ${compute} sums[${rowsPerBlock}];
  #pragma unroll
  for (int k = 0; k < ${rowsPerBlock}; k++)
    sums[k] = column < ${width} && base + k < ${size}LL ? mutwo_in<${compute}>(before[(base + k) * ${width} + column]) : (${compute})0;
  for (int start = 0; start < ${count}; start += ${threads}) {
    const int at = start + threadIdx.x;
    long long row = at < ${count} ? index[at] : -1;
    if (row < 0 && at < ${count}) row += ${size};
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
      if (base + k < ${size}LL) after[(base + k) * ${width} + column] = mutwo_out<${memory}>(sums[k]);
}
`,
    tables * Math.ceil(width / threads),
    threads,
  );
}
