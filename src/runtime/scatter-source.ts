import type { DType } from "../graph.js";
import { computeTypes, type KernelSource, memoryTypes, named } from "./fused-source.js";

const threads = 256;
const rowsPerBlock = 8;

/**
 * CUDA C that adds `count` rows of `width` elements to rows of a table of `size` rows, at int64 indices: the gradient of
 * a look-up. Each block owns a few rows of the table and goes through all indices in order, so the order of additions is
 * fixed. Parameters: table before, indices, rows, table after (which may be the table before).
 */
export function scatterSource(dtype: DType, size: number, width: number, count: number): KernelSource {
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* before, const long long* index, const ${memory}* rows, ${memory}* after) {
  __shared__ long long tile[${threads}];
  const long long base = (long long)blockIdx.x * ${rowsPerBlock};
  const long long end = base + ${rowsPerBlock} < ${size}LL ? base + ${rowsPerBlock} : ${size}LL;
  for (long long i = base * ${width} + threadIdx.x; i < end * ${width}; i += ${threads}) after[i] = before[i];
  for (int start = 0; start < ${count}; start += ${threads}) {
    const int at = start + threadIdx.x;
    long long row = at < ${count} ? index[at] : -1;
    if (row < 0 && at < ${count}) row += ${size};
    const bool mine = row >= base && row < end;
    if (__syncthreads_or(mine)) {
      tile[threadIdx.x] = mine ? row : -1;
      __syncthreads();
      for (int j = 0; j < ${threads}; j++) {
        const long long target = tile[j];
        if (target < 0) continue;
        for (int d = threadIdx.x; d < ${width}; d += ${threads}) {
          const long long to = target * ${width} + d;
          after[to] = mutwo_out<${memory}>(mutwo_in<${compute}>(after[to]) + mutwo_in<${compute}>(rows[(long long)(start + j) * ${width} + d]));
        }
      }
      __syncthreads();
    }
  }
}
`,
    Math.ceil(size / rowsPerBlock),
    threads,
  );
}
