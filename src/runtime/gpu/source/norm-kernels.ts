import type { DType } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";
import type { ReducedShape } from "./reduce.js";

/** How sums over channels go over memory. */
export interface ChannelShape {
  /** [before, channels, after]. */
  readonly shape: ReducedShape;
  /** Whether all full operands start on 16-byte boundaries. */
  readonly aligned: boolean;
  readonly multiprocessors: number;
}

const threads = 256;

/** Blocks for each multiprocessor: more than it runs at once, so that it is never short of them. */
const blocksPerMultiprocessor = 12;

/** Times that a thread reads together: the rest of a part is read one after the other, which takes as long again. */
const unrolled = 4;

/** How the elements of each channel are dealt out to blocks. */
export interface Grid {
  /** Blocks that share a channel, or 32 of them. */
  readonly parts: number;
  /** Elements of a channel in each part. */
  readonly chunk: number;
  /** Elements that are read together. */
  readonly width: 1 | 4;
  readonly isColumns: boolean;
  readonly blocks: number;
}

export function gridOf({ shape: { before, kept, after }, aligned, multiprocessors }: ChannelShape): Grid {
  const isColumns = after === 1 && kept >= 16;
  const width = aligned && after % 4 === 0 ? 4 : 1;
  const groups = isColumns ? Math.ceil(kept / 32) : kept;
  const most = Math.max(1, Math.ceil((before * after) / (isColumns ? 32 : threads * 4)));
  const parts = Math.max(1, Math.min(most, Math.ceil((multiprocessors * blocksPerMultiprocessor) / groups), 512));
  const wanted = (before * after) / parts;
  const unit = isColumns || wanted < width * threads * unrolled ? width : width * threads * unrolled;
  const chunk = unit * Math.ceil(wanted / unit);
  const used = Math.ceil((before * after) / chunk);
  return { parts: used, chunk, width, isColumns, blocks: groups * used };
}

/** Reads element `at` of an operand. */
export const read = (dtype: DType, name: string, at: string): string =>
  `mutwo_in<${computeTypes[dtype]}>(${name}[${at}])`;

/** Bytes of the parts of one pair of sums. */
export const partsBytes = ({ shape }: ChannelShape, grid: Grid): number => 16 * grid.parts * shape.kept;

/** What a kernel sums, as text: `c` is the channel, `i0` the first element that is read, `count` how many were before. */
export interface SumsText {
  readonly parameters: string;
  readonly begin: readonly string[];
  readonly each: readonly string[];
  /** The sums in double, pair by pair, each pair into parts of its own. */
  readonly sums: readonly string[];
}

/**
 * A kernel that sums pairs of terms of every element of a channel. A thread adds its few elements in their own precision;
 * threads, and blocks in the kernel that finishes, add up in double: what should cancel does, to the last bits of the
 * elements. The parts stand behind the parameters.
 */
export function sumsKernel({ shape }: ChannelShape, grid: Grid, text: SumsText): KernelSource {
  const { before, kept, after } = shape;
  const { chunk, width, isColumns, blocks, parts } = grid;
  const length = before * after;
  const count = text.sums.length;
  const each = (line: (k: number) => string): string => Array.from({ length: count }, (_, k) => line(k)).join(" ");
  const write = each((k) => {
    const pair = k >> 1;
    return `out[${2 * pair * parts * kept}u + 2u * (part * ${kept}u + c) + ${k % 2}u] = sum${k};`;
  });
  const declared = each((k) => `double sum${k} = 0;`);
  const loop = (header: string, index: string): string => `    unsigned count = 0;
${text.begin.join("\n")}
${header}
      const unsigned i0 = ${index};
${text.each.join("\n")}
    }
    ${text.sums.map((sum, k) => `sum${k} = ${sum};`).join(" ")}`;
  const body = isColumns
    ? `  __shared__ double shared[${count}][8][33];
  const unsigned c = (blockIdx.x % ${Math.ceil(kept / 32)}u) * 32u + threadIdx.x % 32u, part = blockIdx.x / ${Math.ceil(kept / 32)}u;
  const unsigned begin = part * ${chunk}u, end = min(${length}u, begin + ${chunk}u);
  ${declared}
  if (c < ${kept}u) {
${loop(`    for (unsigned row = begin + threadIdx.x / 32u; row < end; row += 8u, count++) {`, `row * ${kept}u + c`)}
  }
  ${each((k) => `shared[${k}][threadIdx.x / 32u][threadIdx.x % 32u] = sum${k};`)}
  __syncthreads();
  if (threadIdx.x < 32u && c < ${kept}u) {
    for (int w = 1; w < 8; w++) { ${each((k) => `sum${k} += shared[${k}][w][threadIdx.x];`)} }
    ${write}
  }`
    : `  __shared__ double shared[${count}][8];
  const unsigned c = blockIdx.x % ${kept}u, part = blockIdx.x / ${kept}u;
  const unsigned begin = part * ${chunk}u, end = min(${length}u, begin + ${chunk}u);
  ${declared}
  {
${loop(
  `    #pragma unroll ${unrolled}
    for (unsigned e0 = begin + ${width}u * threadIdx.x; e0 < end; e0 += ${width * threads}u, count += ${width}u) {`,
  `(e0 / ${after}u) * ${kept * after}u + c * ${after}u + e0 % ${after}u`,
)}
  }
  for (int o = 16; o; o /= 2) { ${each((k) => `sum${k} += __shfl_xor_sync(0xffffffffu, sum${k}, o);`)} }
  if (threadIdx.x % 32 == 0) { ${each((k) => `shared[${k}][threadIdx.x / 32] = sum${k};`)} }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < 8; w++) { ${each((k) => `sum${k} += shared[${k}][w];`)} }
    ${write}
  }`;
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${text.parameters}, double* out) {\n${body}\n}\n`,
    blocks,
    threads,
  );
}

/**
 * A kernel with eight threads for each channel, which adds up the parts of a pair of sums and makes of them, `first` and
 * `second`, what `code` says.
 */
export function finishKernel(
  { shape: { kept } }: ChannelShape,
  grid: Grid,
  { parameters, code, pair = 0 }: { readonly parameters: string; readonly code: string; readonly pair?: number },
): KernelSource {
  return named(
    (name) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const double* parts, ${parameters}) {
  const unsigned c = blockIdx.x * 32u + threadIdx.x / 8u, at = threadIdx.x % 8u;
  double first = 0, second = 0;
  if (c < ${kept}u)
    for (unsigned part = at; part < ${grid.parts}u; part += 8u) {
      const unsigned sums = ${2 * pair * grid.parts * kept}u + 2u * (part * ${kept}u + c);
      first += parts[sums];
      second += parts[sums + 1u];
    }
  for (int o = 4; o; o /= 2) {
    first += __shfl_xor_sync(0xffffffffu, first, o);
    second += __shfl_xor_sync(0xffffffffu, second, o);
  }
  if (c < ${kept}u && at == 0u) {
${code}
  }
}
`,
    Math.ceil(kept / 32),
    threads,
  );
}

/** What kernels that finish write their vectors of channels with. */
export const vectors = (dtype: DType) => {
  const [memory, compute] = [memoryTypes[dtype], computeTypes[dtype]];
  return {
    given: (name: string): string => `const ${memory}* ${name}`,
    made: (name: string): string => `${memory}* ${name}`,
    value: (name: string): string => `(double)${read(dtype, name, "c")}`,
    store: (name: string, value: string): string => `    ${name}[c] = mutwo_out<${memory}>((${compute})(${value}));`,
  };
};
