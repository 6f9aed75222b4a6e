import { instructions } from "./attention-instructions.js";
import { type GroupedShape, type Lines, linesOf, placesSource, settling, upTo } from "./convolution-lines.js";
import { wideProduct } from "./convolution-wide.js";
import { type FilterGradient, inSplits } from "./filter-gradient.js";
import { named } from "./kernel.js";

/** A block's channels of what is read, the rows of its products, and of what is made. */
const tileRead = 64;
const tileMade = 32;
const threads = 128;

/** Floats from four positions of all made channels to the next four: 4 more, so that those are in other banks. */
const far = tileMade * 4 + 4;

/** Shared memory of which a multiprocessor has two, bytes. */
const mostShared = 112 * 1024;

const lineOf = (lines: Lines, step: number): number => upTo(step + lines.span, 4, 32);

const stageOf = (lines: Lines, step: number): number => tileRead * lineOf(lines, step) + (step / 4) * far;

/** Positions that are read at a time. */
const stepOf = (lines: Lines): number => (8 * stageOf(lines, 64) <= mostShared ? 64 : 32);

/** Whether this kernel computes a gradient of filters: of windows without strides. */
export const isWideFilter = (shape: GroupedShape): boolean => {
  const lines = linesOf(shape);
  const taps = shape.kernel[0] * shape.kernel[1];
  return (
    lines.read.length === 1 &&
    shape.channels % 8 === 0 &&
    taps <= 9 &&
    (shape.channels * taps) % 4 === 0 &&
    8 * stageOf(lines, stepOf(lines)) <= mostShared
  );
};

/** How many blocks share the positions, so that all of the device has work. */
export function wideSplitsOf(shape: GroupedShape, multiprocessors: number): number {
  const blocks = shape.groups * Math.ceil(shape.made / tileMade) * Math.ceil(shape.channels / tileRead);
  const lines = linesOf(shape);
  const chunks = Math.ceil(lines.count / stepOf(lines));
  return Math.max(1, Math.min(chunks, Math.round((2 * multiprocessors) / blocks)));
}

/** As `filterGradientSource`, by products of whole warpgroups. */
export function wideFilterGradientSource(shape: GroupedShape, splits: number): FilterGradient {
  const lines = linesOf(shape);
  const taps = lines.taps.length;
  const step = stepOf(lines);
  const [line, stage] = [lineOf(lines, step), stageOf(lines, step)];
  const out = tileRead * taps + 4;
  const [blocksMade, blocksRead] = [Math.ceil(shape.made / tileMade), Math.ceil(shape.channels / tileRead)];
  const values = {
    STEP: step,
    THREADS: threads,
    LINE: line,
    STAGE: stage,
    READ: step + lines.span,
    TILE_MADE: tileMade,
    TILE_READ: tileRead,
    FAR_FLOATS: far,
    BLOCKS_MADE: blocksMade,
    BLOCKS_READ: blocksRead,
    SPLITS: splits,
    CHUNKS: Math.ceil(lines.count / step),
    OUT: out,
  };
  const text = (name: string): string => `namespace ${name}_ {
${instructions.tf32}${wideProduct(tileMade)}${settling}
${placesSource(shape, lines, step + lines.span, values)}
extern "C" __global__ void __launch_bounds__(${threads}, 2) ${name}(const float* x, const float* dy, float* dw) {
  float* const shared = (float*)mutwo_shared;
  const int read0 = blockIdx.x % BLOCKS_READ * TILE_READ, made0 = blockIdx.x / BLOCKS_READ % BLOCKS_MADE * TILE_MADE;
  const int group = blockIdx.x / (BLOCKS_READ * BLOCKS_MADE) % GROUPS, split = blockIdx.x / (BLOCKS_READ * BLOCKS_MADE * GROUPS);
  const int chunk0 = (int)((long long)CHUNKS * split / SPLITS), chunk1 = (int)((long long)CHUNKS * (split + 1) / SPLITS);
  const float* const xs = x + ((long long)group * CHANNELS + read0) * (HEIGHT * WIDTH);
  const float* const ds = dy + ((long long)group * MADE + made0) * (MADE_HEIGHT * MADE_WIDTH);
  const int position = (int)threadIdx.x % STEP;
  const int place = TILE_READ * LINE + position / 4 * FAR_FLOATS + position % 4;
  auto fetch = [&](float* to, int chunk) {
    const int first = chunk * STEP;
    const int made = made_at(first + position, 0);
#pragma unroll 8
    for (int n = threadIdx.x / STEP; n < TILE_MADE; n += THREADS / STEP) {
      const bool valid = made >= 0 && made0 + n < MADE;
      copy_small<4>(to + place + n * 4, ds + (valid ? made + n * (MADE_HEIGHT * MADE_WIDTH) : 0), valid);
    }
    for (int at = threadIdx.x; at < READ; at += THREADS) {
      const int from = read_at(first - BEFORE + at, 0);
#pragma unroll 8
      for (int k = 0; k < TILE_READ; k++) {
        const bool valid = from >= 0 && read0 + k < CHANNELS;
        copy_small<4>(to + at + k * LINE, xs + (valid ? from + k * (HEIGHT * WIDTH) : 0), valid);
      }
    }
    copies_begin();
  };
  // what this thread has copied, rounded
  auto settle = [&](float* to) {
#pragma unroll 8
    for (int n = threadIdx.x / STEP; n < TILE_MADE; n += THREADS / STEP) settled(to + place + n * 4);
    for (int at = threadIdx.x; at < READ; at += THREADS)
#pragma unroll 16
      for (int k = 0; k < TILE_READ; k++) settled(to + at + k * LINE);
  };
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = warp * 16 + lane / 4;
  float sums[TAPS][TILE_MADE / 2];
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++)
#pragma unroll
    for (int i = 0; i < TILE_MADE / 2; i++) sums[tap][i] = 0.f;
  fetch(shared, chunk0);
  for (int chunk = chunk0, turn = 0; chunk < chunk1; chunk++, turn ^= 1) {
    copies_wait();
    settle(shared + turn * STAGE);
    seen_by_products();
    __syncthreads();
    if (chunk + 1 < chunk1) fetch(shared + (turn ^ 1) * STAGE, chunk + 1);
    const float* const a = shared + turn * STAGE + row * LINE + lane % 4;
    const float* const b = shared + turn * STAGE + TILE_READ * LINE;
#pragma unroll 1
    for (int k = 0; k < STEP; k += 8) {
      unsigned left[TAPS][4];
#pragma unroll
      for (int tap = 0; tap < TAPS; tap++)
#pragma unroll
        for (int e = 0; e < 4; e++) left[tap][e] = bits_of(a[e % 2 * 8 * LINE + k + e / 2 * 4 + distance(tap)]);
      wide_begin();
#pragma unroll
      for (int tap = 0; tap < TAPS; tap++)
        multiply_wide<FAR_FLOATS * 4>(sums[tap], left[tap], b + k / 4 * FAR_FLOATS);
      wide_end();
      wide_wait<0>();
    }
  }
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++)
#pragma unroll
    for (int i = 0; i < TILE_MADE / 2; i++) held(sums[tap][i]);
  __syncthreads();
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++)
#pragma unroll
    for (int i = 0; i < TILE_MADE / 2; i++)
      shared[(i / 4 * 8 + lane % 4 * 2 + i % 2) * OUT + (row + i / 2 % 2 * 8) * TAPS + tap] = sums[tap][i];
  __syncthreads();
  float* const out = dw + (long long)split * (GROUPS * MADE * CHANNELS * TAPS) + ((long long)(group * MADE + made0) * CHANNELS + read0) * TAPS;
  constexpr int PARTS = TILE_READ * TAPS / 4;
  for (int i = threadIdx.x; i < TILE_MADE * PARTS; i += THREADS) {
    const int n = i / PARTS, at = i % PARTS * 4;
    if (made0 + n < MADE && read0 * TAPS + at < CHANNELS * TAPS)
      *(float4*)(out + n * (CHANNELS * TAPS) + at) = *(const float4*)(shared + n * OUT + at);
  }
}
}
`;
  const blocks = blocksMade * blocksRead * shape.groups * splits;
  const sharedBytes = 4 * Math.max(2 * stage, tileMade * out);
  return inSplits(shape, { ...named(text, blocks, threads), sharedBytes }, splits);
}
