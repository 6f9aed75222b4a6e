import type { DType } from "../../../graph/graph.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

/** Side of the square tiles that a block reads along rows and writes along columns. */
const side = 32;

/**
 * CUDA C of matrices that are turned: [count, rows, columns] → [count, columns, rows]. Parameters: input, output. Tiles
 * go through shared memory, so that both sides are read and written in rows; where one side is narrow, every thread
 * writes the element that comes next, and reads hit the cache.
 */
export function turnSource(
  dtype: DType,
  [count, rows, columns]: readonly [count: number, rows: number, columns: number],
  multiprocessors: number,
): KernelSource {
  const memory = memoryTypes[dtype] as string;
  const size = count * rows * columns;
  const index = size < 2 ** 31 ? "unsigned" : "unsigned long long";
  const [down, across] = [Math.ceil(rows / side), Math.ceil(columns / side)];
  const isNarrow = rows < side / 2 || columns < side / 2;
  const most = multiprocessors * 32;
  const work = isNarrow ? Math.ceil(size / threads) : count * down * across;
  const body = isNarrow
    ? `  for (${index} i = blockIdx.x * (${index})${threads} + threadIdx.x; i < ${size}; i += gridDim.x * (${index})${threads}) {
    const ${index} row = i % ${rows}u, rest = i / ${rows}u;
    const ${index} column = rest % ${columns}u, matrix = rest / ${columns}u;
    y[i] = x[(matrix * ${rows}u + row) * ${columns}u + column];
  }`
    : `  __shared__ ${memory} tile[${side}][${side + 1}];
  const unsigned lane = threadIdx.x % ${side}u, line = threadIdx.x / ${side}u;
  for (${index} t = blockIdx.x; t < ${work}; t += gridDim.x) {
    const ${index} matrix = t / ${down * across}u * ${rows * columns}u;
    const unsigned at = (unsigned)(t % ${down * across}u);
    const unsigned row0 = at / ${across}u * ${side}u, column0 = at % ${across}u * ${side}u;
    __syncthreads();
    for (unsigned k = line; k < ${side}u; k += ${threads / side}u)
      if (row0 + k < ${rows}u && column0 + lane < ${columns}u)
        tile[k][lane] = x[matrix + (row0 + k) * (${index})${columns} + column0 + lane];
    __syncthreads();
    for (unsigned k = line; k < ${side}u; k += ${threads / side}u)
      if (column0 + k < ${columns}u && row0 + lane < ${rows}u)
        y[matrix + (column0 + k) * (${index})${rows} + row0 + lane] = tile[lane][k];
  }`;
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* x, ${memory}* y) {\n${body}\n}\n`,
    Math.max(1, Math.min(work, most)),
    threads,
  );
}
