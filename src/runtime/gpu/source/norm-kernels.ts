import type { DType } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";
import type { ReducedShape } from "./reduce.js";

/** What a batch norm goes over: values of one type, vectors of channels of another. */
export interface NormType {
  /** [before, channels, after]. */
  readonly shape: ReducedShape;
  readonly dtype: DType;
  readonly vector: DType;
  /** Whether all full operands start on 16-byte boundaries. */
  readonly aligned: boolean;
  readonly multiprocessors: number;
}

const threads = 256;

/** Blocks for each multiprocessor: enough to fill it several times over. */
const blocksPerMultiprocessor = 8;

/** How the elements of each channel are dealt out to blocks. */
interface Grid {
  /** Blocks that share a channel, or 32 of them. */
  readonly parts: number;
  /** Elements of a channel in each part. */
  readonly chunk: number;
  /** Elements that are read together. */
  readonly width: number;
  readonly isColumns: boolean;
  readonly blocks: number;
}

export function gridOf({ shape: { before, kept, after }, aligned, multiprocessors }: NormType): Grid {
  const isColumns = after === 1 && kept >= 16;
  const width = aligned && after % 4 === 0 ? 4 : 1;
  const groups = isColumns ? Math.ceil(kept / 32) : kept;
  const most = Math.max(1, Math.ceil((before * after) / (isColumns ? 32 : threads * 4)));
  const parts = Math.max(1, Math.min(most, Math.ceil((multiprocessors * blocksPerMultiprocessor) / groups), 512));
  const chunk = width * Math.ceil((before * after) / width / parts);
  return { parts, chunk, width, isColumns, blocks: groups * parts };
}

/** Reads element `at` of an operand. */
export const read = (dtype: DType, name: string, at: string): string =>
  `mutwo_in<${computeTypes[dtype]}>(${name}[${at}])`;

/**
 * A kernel that sums two terms of every element of a channel. A thread adds its few elements in their own precision;
 * threads, and blocks in the kernel that finishes, add up in double: what should cancel does, to the last bits of the
 * elements.
 */
export function sumsKernel(
  type: NormType,
  grid: Grid,
  text: { parameters: string; begin: string; element: (at: string) => string; end: string },
): KernelSource {
  const { before, kept, after } = type.shape;
  const { chunk, width, isColumns, blocks } = grid;
  const compute = computeTypes[type.dtype] as string;
  const length = before * after;
  const write = `out[2u * (part * ${kept}u + c)] = first; out[2u * (part * ${kept}u + c) + 1u] = second;`;
  const sums = isColumns
    ? `  __shared__ double shared[2][8][33];
  const unsigned c = (blockIdx.x % ${Math.ceil(kept / 32)}u) * 32u + threadIdx.x % 32u, part = blockIdx.x / ${Math.ceil(kept / 32)}u;
  const unsigned begin = part * ${chunk}u, end = min(${length}u, begin + ${chunk}u);
  double first = 0, second = 0;
  if (c < ${kept}u) {
    ${compute} a = 0, b = 0;
    unsigned count = 0;
${text.begin}
    for (unsigned row = begin + threadIdx.x / 32u; row < end; row += 8u, count++) {
      const unsigned i = row * ${kept}u + c;
${text.element("i")}
    }
${text.end}
  }
  shared[0][threadIdx.x / 32u][threadIdx.x % 32u] = first;
  shared[1][threadIdx.x / 32u][threadIdx.x % 32u] = second;
  __syncthreads();
  if (threadIdx.x < 32u && c < ${kept}u) {
    for (int w = 1; w < 8; w++) { first += shared[0][w][threadIdx.x]; second += shared[1][w][threadIdx.x]; }
    ${write}
  }`
    : `  __shared__ double shared[2][8];
  const unsigned c = blockIdx.x % ${kept}u, part = blockIdx.x / ${kept}u;
  const unsigned begin = part * ${chunk}u, end = min(${length}u, begin + ${chunk}u);
  double first = 0, second = 0;
  {
    ${compute} a = 0, b = 0;
    unsigned count = 0;
${text.begin}
    #pragma unroll 4
    for (unsigned e = begin + ${width}u * threadIdx.x; e < end; e += ${width * threads}u, count += ${width}u) {
      const unsigned i = (e / ${after}u) * ${kept * after}u + c * ${after}u + e % ${after}u;
${text.element("i")}
    }
${text.end}
  }
  for (int o = 16; o; o /= 2) {
    first += __shfl_xor_sync(0xffffffffu, first, o);
    second += __shfl_xor_sync(0xffffffffu, second, o);
  }
  if (threadIdx.x % 32 == 0) { shared[0][threadIdx.x / 32] = first; shared[1][threadIdx.x / 32] = second; }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < 8; w++) { first += shared[0][w]; second += shared[1][w]; }
    ${write}
  }`;
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${text.parameters}, double* out) {\n${sums}\n}\n`,
    blocks,
    threads,
  );
}

/** Full operands of one element or of four, as `NAME_v` in the code that follows. */
export function elements(type: NormType, grid: Grid, names: readonly string[], code: string): string {
  const compute = computeTypes[type.dtype] as string;
  const memory = memoryTypes[type.dtype] as string;
  if (grid.width === 1)
    return [...names.map((name) => `      const ${compute} ${name}_v = ${read(type.dtype, name, "i")};`), code].join(
      "\n",
    );
  return [
    ...names.map(
      (name) => `      const mutwo_four<${memory}> ${name}_4 = *(const mutwo_four<${memory}>*)(${name} + i);`,
    ),
    "      #pragma unroll",
    "      for (int j = 0; j < 4; j++) {",
    ...names.map((name) => `        const ${compute} ${name}_v = mutwo_in<${compute}>(${name}_4.v[j]);`),
    code,
    "      }",
  ].join("\n");
}

/** A kernel with eight threads for each channel, which adds the parts up and makes of the sums what `code` says. */
export function finishKernel(type: NormType, grid: Grid, parameters: string, code: string): KernelSource {
  const { kept } = type.shape;
  return named(
    (name) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const double* parts, ${parameters}) {
  const unsigned c = blockIdx.x * 32u + threadIdx.x / 8u, at = threadIdx.x % 8u;
  double first = 0, second = 0;
  if (c < ${kept}u)
    for (unsigned part = at; part < ${grid.parts}u; part += 8u) {
      first += parts[2u * (part * ${kept}u + c)];
      second += parts[2u * (part * ${kept}u + c) + 1u];
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

/** A pass over all elements, from the end: what the sums read last is still in the cache. */
export function applyKernel(
  type: NormType,
  grid: Grid,
  text: { parameters: string; output: string; vectors: string; full: readonly string[]; value: string },
): KernelSource {
  const { before, kept, after } = type.shape;
  const { width } = grid;
  const groups = (before * kept * after) / width;
  const memory = memoryTypes[type.dtype] as string;
  const blocks = Math.max(1, Math.min(Math.ceil(groups / threads), type.multiprocessors * 16));
  const result = `mutwo_out<${memory}>(${text.value})`;
  const inner = elements(
    type,
    grid,
    text.full,
    width === 1 ? `      ${text.output}[i] = ${result};` : `        result.v[j] = ${result};`,
  );
  const body = `  for (unsigned q = blockIdx.x * ${threads}u + threadIdx.x; q < ${groups}u; q += gridDim.x * ${threads}u) {
    const unsigned i = ${width}u * (${groups - 1}u - q), c = (i / ${after}u) % ${kept}u;
${text.vectors}
    {
${width === 4 ? `      mutwo_four<${memory}> result;\n` : ""}${inner}
${width === 4 ? `      *(mutwo_four<${memory}>*)(${text.output} + i) = result;\n` : ""}    }
  }`;
  return named(
    (name) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${text.parameters}) {\n${body}\n}\n`,
    blocks,
    threads,
  );
}

/** What the kernels of one norm write their parameters with. */
export const vocabulary = (type: NormType) => {
  const [memory, vector, compute] = [memoryTypes[type.dtype], memoryTypes[type.vector], computeTypes[type.vector]];
  return {
    full: (name: string) => `const ${memory}* ${name}`,
    fullOut: (name: string) => `${memory}* ${name}`,
    given: (name: string) => `const ${vector}* ${name}`,
    made: (name: string) => `${vector}* ${name}`,
    load: (name: string) => `    const ${compute} ${name}_c = ${read(type.vector, name, "c")};`,
    store: (name: string, value: string) => `    ${name}[c] = mutwo_out<${vector}>((${compute})(${value}));`,
  };
};
