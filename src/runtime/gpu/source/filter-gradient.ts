import { instructions } from "./attention-instructions.js";
import { type GroupedShape, isNarrow, type Lines, linesOf, placesSource, upTo } from "./convolution-lines.js";
import { type KernelSource, named } from "./kernel.js";

/** Positions that are read at a time; of several lines of many channels fewer. */
const stepOf = (shape: GroupedShape, lines: Lines): number => (lines.read.length > 1 && !isNarrow(shape) ? 32 : 64);

/** A block's channels of what is made, and of what is read. */
const tileMade = 64;
const tileReadOf = (shape: GroupedShape): number => (isNarrow(shape) ? shape.channels : 32);

const warps = 4;
const threads = 32 * warps;

/** The gradient of filters, by one kernel or by two with what the first leaves in the workspace. */
export interface FilterGradient {
  readonly first: KernelSource;
  readonly second?: KernelSource;
  readonly workspaceBytes: number;
}

/** How many blocks of a device share the positions, so that all of it has work. */
export function splitsOf(shape: GroupedShape, multiprocessors: number): number {
  const blocks = shape.groups * Math.ceil(shape.made / tileMade) * Math.ceil(shape.channels / tileReadOf(shape));
  const lines = linesOf(shape);
  const chunks = Math.ceil(lines.count / stepOf(shape, lines));
  return Math.max(1, Math.min(chunks, Math.round((2 * multiprocessors) / blocks)));
}

/** How the columns of a warp's products are found in shared memory, and where their sums go. */
interface Columns {
  /** Sets `row`, and what the other two need. */
  readonly begin: string;
  /** Where column c reads, beyond its position. */
  readonly read: string;
  /** Which element of the filter the sum e of column c is. */
  readonly write: string;
}

/** Two warps beside each other, each with 16 channels: all of their taps are as far apart for every thread. */
const columnsOfChannels: Columns = {
  begin: `  const int row = warp % 2 * (MI * 16) + lane / 4, column = warp / 2 * 16;`,
  read: "(column + c % 2 * 8 + lane / 4) * LINE_READ + distance(c / 2)",
  write: "(column + c % 2 * 8 + lane % 4 * 2 + e % 2) * TAPS + c / 2",
};

/** Four warps with some of all elements each. */
const narrowColumns: Columns = {
  begin: `  const int row = lane / 4;
  int from[COLUMNS];
#pragma unroll
  for (int c = 0; c < COLUMNS; c++) {
    const int n = (warp * COLUMNS + c) * 8 + lane / 4;
    from[c] = n < ROW ? n / TAPS * LINE_READ + distance(n % TAPS) : 0;
  }`,
  read: "from[c]",
  write: "(warp * COLUMNS + c) * 8 + lane % 4 * 2 + e % 2",
};

/**
 * CUDA C of the gradient of a convolution's filters. Parameters: x, gradient of y, then the filters' gradient (or, where
 * the positions are split, its parts). As for the convolution, positions are those of padded lines; the gradient of y is 0
 * where they are padding.
 */
export function filterGradientSource(shape: GroupedShape, splits: number): FilterGradient {
  const lines = linesOf(shape);
  const taps = lines.taps.length;
  const step = stepOf(shape, lines);
  const tileRead = tileReadOf(shape);
  const narrow = isNarrow(shape);
  const own = step + lines.span;
  const chunks = Math.ceil(lines.count / step);
  const [lineMade, lineRead] = [upTo(step, 4, 32), upTo(own * lines.read.length, 4, 32)];
  const stage = tileMade * lineMade + tileRead * lineRead;
  // columns of a product: an element of the window for each of some channels, or (of few channels) all of both
  const columns = narrow ? Math.ceil((tileRead * taps) / (8 * warps)) : 2 * taps;
  const out = (narrow ? 8 * warps * columns : tileRead * taps) + 4;
  const blocksMade = Math.ceil(shape.made / tileMade);
  const blocksRead = Math.ceil(shape.channels / tileRead);
  const size = shape.groups * shape.made * shape.channels * taps;
  const values = {
    STEP: step,
    THREADS: threads,
    LINE_MADE: lineMade,
    LINE_READ: lineRead,
    STAGE: stage,
    READ: own,
    TILE_MADE: tileMade,
    TILE_READ: tileRead,
    BLOCKS_MADE: blocksMade,
    BLOCKS_READ: blocksRead,
    SPLITS: splits,
    CHUNKS: chunks,
    OUT: out,
    MI: narrow ? 4 : 2,
    COLUMNS: columns,
    ROW: tileRead * taps,
    WIDE: (shape.channels * taps) % 4 === 0 ? 4 : 1,
  };
  const wide = values.WIDE === 4 ? "float4" : "float";
  const layoutOf = narrow ? narrowColumns : columnsOfChannels;
  const text = (name: string): string => `namespace ${name}_ {
${instructions.tf32}
${placesSource(shape, lines, own, values)}
extern "C" __global__ void __launch_bounds__(${threads}, 2) ${name}(const float* x, const float* dy, float* dw) {
  float* const shared = (float*)mutwo_shared;
  const int read0 = blockIdx.x % BLOCKS_READ * TILE_READ, made0 = blockIdx.x / BLOCKS_READ % BLOCKS_MADE * TILE_MADE;
  const int group = blockIdx.x / (BLOCKS_READ * BLOCKS_MADE) % GROUPS, split = blockIdx.x / (BLOCKS_READ * BLOCKS_MADE * GROUPS);
  const int chunk0 = (int)((long long)CHUNKS * split / SPLITS), chunk1 = (int)((long long)CHUNKS * (split + 1) / SPLITS);
  const float* const xs = x + ((long long)group * CHANNELS + read0) * (HEIGHT * WIDTH);
  const float* const ds = dy + ((long long)group * MADE + made0) * (MADE_HEIGHT * MADE_WIDTH);
  auto fetch = [&](float* stage, int chunk) {
    const int first = chunk * STEP;
    const int made = made_at(first + (int)threadIdx.x % STEP, 0);
#pragma unroll 8
    for (int n = threadIdx.x / STEP; n < TILE_MADE; n += THREADS / STEP) {
      const bool valid = made >= 0 && made0 + n < MADE;
      copy_small<4>(stage + n * LINE_MADE + (int)threadIdx.x % STEP, ds + (valid ? made + n * (MADE_HEIGHT * MADE_WIDTH) : 0), valid);
    }
#pragma unroll
    for (int line = 0; line < LINES; line++)
      for (int at = threadIdx.x; at < READ; at += THREADS) {
        const int from = read_at(first - BEFORE + at, line);
        float* const to = stage + TILE_MADE * LINE_MADE + line * READ + at;
#pragma unroll 8
        for (int k = 0; k < TILE_READ; k++) {
          const bool valid = from >= 0 && read0 + k < CHANNELS;
          copy_small<4>(to + k * LINE_READ, xs + (valid ? from + k * (HEIGHT * WIDTH) : 0), valid);
        }
      }
    copies_begin();
  };
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
${layoutOf.begin}
  float sums[COLUMNS][MI][4];
#pragma unroll
  for (int c = 0; c < COLUMNS; c++)
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) sums[c][i][e] = 0.f;
  fetch(shared, chunk0);
  for (int chunk = chunk0, turn = 0; chunk < chunk1; chunk++, turn ^= 1) {
    copies_wait();
    __syncthreads();
    if (chunk + 1 < chunk1) fetch(shared + (turn ^ 1) * STAGE, chunk + 1);
    const float* const a = shared + turn * STAGE + row * LINE_MADE + lane % 4;
    const float* const b = shared + turn * STAGE + TILE_MADE * LINE_MADE + lane % 4;
#pragma unroll 2
    for (int k = 0; k < STEP; k += 8) {
      unsigned left[MI][4];
#pragma unroll
      for (int i = 0; i < MI; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) left[i][e] = rounded(a[(i * 16 + e % 2 * 8) * LINE_MADE + k + e / 2 * 4]);
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) {
        const float* const at = b + k + ${layoutOf.read};
        const unsigned b0 = rounded(at[0]), b1 = rounded(at[4]);
#pragma unroll
        for (int i = 0; i < MI; i++) multiply(sums[c][i], left[i], b0, b1);
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int c = 0; c < COLUMNS; c++)
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) shared[(row + i * 16 + e / 2 * 8) * OUT + ${layoutOf.write}] = sums[c][i][e];
  __syncthreads();
  float* const out = dw + (long long)split * (GROUPS * MADE * CHANNELS * TAPS) + ((long long)(group * MADE + made0) * CHANNELS + read0) * TAPS;
  constexpr int PARTS = ROW / WIDE;
  for (int i = threadIdx.x; i < TILE_MADE * PARTS; i += THREADS) {
    const int n = i / PARTS, at = i % PARTS * WIDE;
    if (made0 + n < MADE && read0 * TAPS + at < CHANNELS * TAPS)
      *(${wide}*)(out + n * (CHANNELS * TAPS) + at) = *(const ${wide}*)(shared + n * OUT + at);
  }
}
}
`;
  const blocks = blocksMade * blocksRead * shape.groups * splits;
  const sharedBytes = 4 * Math.max(2 * stage, tileMade * out);
  const first = { ...named(text, blocks, threads), sharedBytes };
  if (splits === 1) return { first, workspaceBytes: 0 };
  const addition = (
    name: string,
  ): string => `extern "C" __global__ void __launch_bounds__(256) ${name}(const float4* parts, float4* dw) {
  const int at = blockIdx.x * 256 + threadIdx.x;
  if (at >= ${size / 4}) return;
  float4 sum = parts[at];
  for (int i = 1; i < ${splits}; i++) {
    const float4 one = parts[i * ${size / 4} + at];
    sum.x += one.x, sum.y += one.y, sum.z += one.z, sum.w += one.w;
  }
  dw[at] = sum;
}
`;
  return { first, second: named(addition, Math.ceil(size / 4 / 256), 256), workspaceBytes: 4 * size * splits };
}
