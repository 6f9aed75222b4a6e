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
  /** Blocks that share a channel, or those that threads of one block have. */
  readonly parts: number;
  /** Elements of a channel in each part. */
  readonly chunk: number;
  /** Elements that are read together: of one channel, or, in columns, each of another one. */
  readonly width: 1 | 4;
  /** Channels are the last axis, and threads beside each other have channels beside each other. */
  readonly isColumns: boolean;
  /** In columns: threads beside each other that have the channels of a block. */
  readonly across: number;
  readonly blocks: number;
}

export function gridOf({ shape: { before, kept, after }, aligned, multiprocessors }: ChannelShape): Grid {
  const isColumns = after === 1 && kept >= 16;
  const width = aligned && (isColumns ? kept : after) % 4 === 0 ? 4 : 1;
  const across = isColumns ? Math.min(32, Math.ceil(kept / width)) : 1;
  const groups = isColumns ? Math.ceil(kept / width / across) : kept;
  const most = Math.max(1, Math.ceil((before * after) / 4 / (isColumns ? rowsOf(across) : threads)));
  const parts = Math.max(1, Math.min(most, Math.ceil((multiprocessors * blocksPerMultiprocessor) / groups), 512));
  const wanted = (before * after) / parts;
  const step = isColumns ? 1 : width;
  const unit = isColumns || wanted < width * threads * unrolled ? step : width * threads * unrolled;
  const chunk = unit * Math.ceil(wanted / unit);
  const used = Math.ceil((before * after) / chunk);
  return { parts: used, chunk, width, isColumns, across, blocks: groups * used };
}

/** Rows that the threads of a block read at once. */
const rowsOf = (across: number): number => Math.floor(threads / across);

/** Whether a thread sums several channels, the first of which is `c`: what it sums is told apart by `e`. */
export const hasSeveral = ({ isColumns, width }: Grid): boolean => isColumns && width > 1;

/** What a thread sums: its declaration, and the one that belongs to an element. */
export const stateOf = (grid: Grid, type: string, name: string): { declared: string; at: string } =>
  hasSeveral(grid)
    ? { declared: `    ${type} ${name}[4] = {0, 0, 0, 0};`, at: `${name}[e]` }
    : { declared: `    ${type} ${name} = 0;`, at: name };

/** Reads element `at` of an operand. */
export const read = (dtype: DType, name: string, at: string): string =>
  `mutwo_in<${computeTypes[dtype]}>(${name}[${at}])`;

/** Bytes of the parts of one pair of sums. */
export const partsBytes = ({ shape }: ChannelShape, grid: Grid): number => 16 * grid.parts * shape.kept;

/**
 * What a kernel sums, as text: `c` is the channel (`c + e` where a thread has several), `i0` the first element that is read,
 * `count` how many were before.
 */
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
  const store = (k: number, channel: string, sum: string): string =>
    `out[${2 * (k >> 1) * parts * kept}u + 2u * (part * ${kept}u + ${channel}) + ${k % 2}u] = ${sum};`;
  const loop = (header: string, index: string, sums: string): string => `    unsigned count = 0;
${text.begin.join("\n")}
${header}
      const unsigned i0 = ${index};
${text.each.join("\n")}
    }
    ${sums}`;
  const body = isColumns
    ? columnsBody(grid, { length, kept, text, loop, store })
    : `  __shared__ double shared[${count}][8];
  const unsigned c = blockIdx.x % ${kept}u, part = blockIdx.x / ${kept}u;
  const unsigned begin = part * ${chunk}u, end = min(${length}u, begin + ${chunk}u);
  ${each((k) => `double sum${k} = 0;`)}
  {
${loop(
  `    #pragma unroll ${unrolled}
    for (unsigned e0 = begin + ${width}u * threadIdx.x; e0 < end; e0 += ${width * threads}u, count += ${width}u) {`,
  `(e0 / ${after}u) * ${kept * after}u + c * ${after}u + e0 % ${after}u`,
  text.sums.map((sum, k) => `sum${k} = ${sum};`).join(" "),
)}
  }
  for (int o = 16; o; o /= 2) { ${each((k) => `sum${k} += __shfl_xor_sync(0xffffffffu, sum${k}, o);`)} }
  if (threadIdx.x % 32 == 0) { ${each((k) => `shared[${k}][threadIdx.x / 32] = sum${k};`)} }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < 8; w++) { ${each((k) => `sum${k} += shared[${k}][w];`)} }
    ${each((k) => store(k, "c", `sum${k}`))}
  }`;
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${text.parameters}, double* out) {\n${body}\n}\n`,
    blocks,
    threads,
  );
}

interface ColumnsText {
  /** Rows, each with an element of every channel. */
  readonly length: number;
  readonly kept: number;
  readonly text: SumsText;
  readonly loop: (header: string, index: string, sums: string) => string;
  readonly store: (k: number, channel: string, sum: string) => string;
}

/** Sums down columns: a thread goes through rows of one channel or of four, threads that share channels join in turn. */
function columnsBody(grid: Grid, { length, kept, text, loop, store }: ColumnsText): string {
  const { across, width, chunk } = grid;
  const [rows, channels] = [rowsOf(across), across * width];
  const groups = Math.ceil(kept / channels);
  const isSeveral = hasSeveral(grid);
  const at = (k: number): string => `sum${k}${isSeveral ? "[e]" : ""}`;
  const every = isSeveral ? "for (int e = 0; e < 4; e++) " : "";
  const declared = text.sums.map((_, k) => `double sum${k}${isSeveral ? "[4] = {0, 0, 0, 0}" : " = 0"};`).join(" ");
  const sums = `${every}{ ${text.sums.map((sum, k) => `${at(k)} = ${sum};`).join(" ")} }`;
  const joined = text.sums.map(
    (_, k) => `  __syncthreads();
  if (isWithin) ${every}shared[row0][lane * ${width}u${isSeveral ? " + e" : ""}] = ${at(k)};
  __syncthreads();
  for (unsigned q = threadIdx.x; q < ${channels}u; q += ${threads}u)
    if (first + q < ${kept}u) {
      double sum = 0;
      for (int w = 0; w < ${rows}; w++) sum += shared[w][q];
      ${store(k, "(first + q)", "sum")}
    }`,
  );
  return `  __shared__ double shared[${rows}][${channels}];
  const unsigned lane = threadIdx.x % ${across}u, row0 = threadIdx.x / ${across}u;
  const unsigned first = (blockIdx.x % ${groups}u) * ${channels}u, part = blockIdx.x / ${groups}u;
  const unsigned c = first + lane * ${width}u;
  const unsigned begin = part * ${chunk}u, end = min(${length}u, begin + ${chunk}u);
  const bool isWithin = row0 < ${rows}u;
  ${declared}
  if (isWithin && c < ${kept}u) {
${loop(
  `    #pragma unroll 4
    for (unsigned row = begin + row0; row < end; row += ${rows}u, count++) {`,
  `row * ${kept}u + c`,
  sums,
)}
  }
${joined.join("\n")}`;
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
