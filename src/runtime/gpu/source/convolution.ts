import { instructions, shortProduct } from "./attention-instructions.js";
import { type GroupedShape, isNarrow, linesOf, placesSource, settling, upTo } from "./convolution-lines.js";
import { type KernelSource, named } from "./kernel.js";

/** How a block goes about it. */
export interface GroupedTile {
  /** Positions and made channels of a block. */
  readonly positions: number;
  readonly channels: number;
  /** Warps along both. */
  readonly warps: readonly [number, number];
}

/** Channels that are read into shared memory at a time. */
const stepOf = (shape: GroupedShape): number => {
  const { channels, kernel } = shape;
  if (isNarrow(shape)) return 4;
  const taps = kernel[0] * kernel[1];
  return [32, 16, 8].find((step) => channels % step === 0 && step * taps <= 72) ?? 8;
};

/**
 * CUDA C of convolutions in groups on tensor cores, channels first, float32 rounded to TF32, sums in float32, or of their
 * gradient with respect to what they read: each group is a product of matrices of its own, all of them fill the device
 * together. Parameters: x, w, y, where x is what is read and y what is made. Filters are [groups · channels that the
 * convolution makes, channels that it reads, …].
 */
export function groupedSource(shape: GroupedShape, tile: GroupedTile): KernelSource {
  const { transposed = false } = shape;
  const lines = linesOf(shape);
  const step = stepOf(shape);
  const taps = lines.taps.length;
  const threads = 32 * tile.warps[0] * tile.warps[1];
  const own = tile.positions + lines.span;
  const line = upTo(own * lines.read.length, 8, 32);
  // filters as they lie in memory: so many channels' taps of each made channel, or the other way round
  const pitch = transposed ? upTo(tile.channels * taps, 8, 32) : upTo(step * taps, 4, 8);
  const filterFloats = (transposed ? step : tile.channels) * pitch;
  const blocksOf = [
    Math.ceil(lines.count / tile.positions),
    Math.ceil(shape.made / tile.channels),
    shape.groups,
  ] as const;
  const stage = step * line + filterFloats;
  const narrow = isNarrow(shape);
  // elements of filters that are copied at once
  const wide = ((transposed ? shape.made : shape.channels) * taps * 4) % 16 === 0 && (step * taps) % 4 === 0 ? 4 : 1;
  const values = {
    STEP: step,
    THREADS: threads,
    LINE: line,
    FILTER_PITCH: pitch,
    STAGE: stage,
    TILE: tile.positions,
    TILE_MADE: tile.channels,
    READ: own,
    WARPS: tile.warps[0],
    MI: tile.positions / tile.warps[0] / 16,
    NI: tile.channels / tile.warps[1] / 8,
    BLOCKS: blocksOf[0],
    BLOCKS_MADE: blocksOf[1],
    WIDE: wide,
    PARTS: ((transposed ? tile.channels : step) * taps) / wide,
    FILTER_ROWS: transposed ? step : tile.channels,
    FURTHER: (transposed ? shape.made : 1) * taps,
    DEPTH: narrow ? 4 : 8,
  };
  const copy = wide === 4 ? "copy16" : "copy_small<4>";
  // filters as they are read: of STEP channels, each with the taps of TILE_MADE made ones, or the other way round; where
  // a part of a row lies for the first channels, and how much further for each other one
  const filterPlace = transposed
    ? `made0 * TAPS + part < MADE * TAPS ? ((group * CHANNELS + row) * MADE + made0) * TAPS + part : -1`
    : `made0 + row < MADE && part < CHANNELS * TAPS ? (group * MADE + made0 + row) * CHANNELS * TAPS + part : -1`;
  const [ofMade, ofChannel] = transposed ? ["TAPS", "FILTER_PITCH"] : ["FILTER_PITCH", "TAPS"];
  // blocks that a multiprocessor is to hold: as many as there are registers for the sums, and as much again
  const sums = (tile.positions * tile.channels * lines.made.length) / threads;
  const residentBlocks = threads > 128 ? 1 : sums > 64 ? 2 : sums > 32 ? 3 : 4;
  const text = (name: string): string => `namespace ${name}_ {
${instructions.tf32}${narrow ? shortProduct : ""}${settling}
${placesSource(shape, lines, own, values)}
extern "C" __global__ void __launch_bounds__(${threads}, ${residentBlocks}) ${name}(const float* x, const float* w, float* y) {
  float* const shared = (float*)mutwo_shared;
  const int block = blockIdx.x % BLOCKS, made0 = blockIdx.x / BLOCKS % BLOCKS_MADE * TILE_MADE;
  const int group = blockIdx.x / (BLOCKS * BLOCKS_MADE), first = block * TILE;
  constexpr int OWN = (READ + THREADS - 1) / THREADS;
  int from[LINES][OWN];
#pragma unroll
  for (int line = 0; line < LINES; line++)
#pragma unroll
    for (int i = 0; i < OWN; i++) from[line][i] = read_at(first - BEFORE + (int)threadIdx.x + i * THREADS, line);
  const float* const xs = x + (long long)group * CHANNELS * (HEIGHT * WIDTH);
  constexpr int COPIES = (FILTER_ROWS * PARTS + THREADS - 1) / THREADS;
  int filter_from[COPIES], filter_to[COPIES];
#pragma unroll
  for (int i = 0; i < COPIES; i++) {
    const int at = (int)threadIdx.x + i * THREADS, row = at / PARTS, part = at % PARTS * WIDE;
    filter_from[i] = ${filterPlace};
    filter_to[i] = at < FILTER_ROWS * PARTS ? STEP * LINE + row * FILTER_PITCH + part : -1;
  }
  auto fetch = [&](float* stage, int channel) {
#pragma unroll
    for (int line = 0; line < LINES; line++)
#pragma unroll
      for (int i = 0; i < OWN; i++) {
        const int at = (int)threadIdx.x + i * THREADS, place = from[line][i];
        if (at < READ) {
          const float* const source = xs + (place < 0 ? 0 : channel * (HEIGHT * WIDTH) + place);
#pragma unroll
          for (int k = 0; k < STEP; k++) {
            const bool valid = place >= 0 && (CHANNELS % STEP == 0 || channel + k < CHANNELS);
            copy_small<4>(stage + k * LINE + line * READ + at, valid ? source + k * (HEIGHT * WIDTH) : xs, valid);
          }
        }
      }
#pragma unroll
    for (int i = 0; i < COPIES; i++)
      if (filter_to[i] >= 0)
        ${copy}(stage + filter_to[i], w + (filter_from[i] < 0 ? 0 : channel * FURTHER + filter_from[i]), filter_from[i] >= 0);
    copies_begin();
  };
  // what this thread has copied, rounded once: every tap reads it again
  auto settle = [&](float* stage) {
#pragma unroll
    for (int line = 0; line < LINES; line++)
#pragma unroll
      for (int i = 0; i < OWN; i++) {
        const int at = (int)threadIdx.x + i * THREADS;
        if (at < READ)
#pragma unroll
          for (int k = 0; k < STEP; k++) settled(stage + k * LINE + line * READ + at);
      }
#pragma unroll
    for (int i = 0; i < COPIES; i++)
      if (filter_to[i] >= 0) ${wide === 4 ? "settled4" : "settled"}(stage + filter_to[i]);
  };
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = warp % WARPS * (MI * 16) + lane / 4, column = warp / WARPS * (NI * 8);
  float sums[PHASES][MI][NI][4];
#pragma unroll
  for (int phase = 0; phase < PHASES; phase++)
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int j = 0; j < NI; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) sums[phase][i][j][e] = 0.f;
  fetch(shared, 0);
  for (int channel = 0, turn = 0; channel < CHANNELS; channel += STEP, turn ^= 1) {
    copies_wait();
    settle(shared + turn * STAGE);
    __syncthreads();
    if (channel + STEP < CHANNELS) fetch(shared + (turn ^ 1) * STAGE, channel + STEP);
    const float* const a = shared + turn * STAGE + lane % 4 * LINE + row;
    const float* const b = shared + turn * STAGE + STEP * LINE + (column + lane / 4) * ${ofMade} + lane % 4 * ${ofChannel};
#pragma unroll
    for (int k = 0; k < STEP; k += DEPTH) {
#pragma unroll
      for (int tap = 0; tap < TAPS; tap++) {
        unsigned left[MI][4], right[NI][2];
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
          for (int e = 0; e < DEPTH / 2; e++)
            left[i][e] = bits_of(a[(k + e / 2 * 4) * LINE + i * 16 + e % 2 * 8 + distance(tap)]);
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < DEPTH / 4; e++)
            right[j][e] = bits_of(b[(k + e * 4) * ${ofChannel} + j * 8 * ${ofMade} + filter_of(tap)]);
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
          for (int j = 0; j < NI; j++) ${narrow ? "multiply_short(sums[phase_of(tap)][i][j], left[i], right[j][0])" : "multiply(sums[phase_of(tap)][i][j], left[i], right[j][0], right[j][1])"};
      }
    }
  }
  float* const ys = y + (long long)group * MADE * (MADE_HEIGHT * MADE_WIDTH);
#pragma unroll
  for (int phase = 0; phase < PHASES; phase++)
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int at = made_at(first + row + i * 16 + half * 8, phase);
        if (at < 0) continue;
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < 2; e++) {
            const int n = made0 + column + j * 8 + lane % 4 * 2 + e;
            if (n < MADE) ys[at + n * (MADE_HEIGHT * MADE_WIDTH)] = sums[phase][i][j][2 * half + e];
          }
      }
}
}
`;
  const blocks = blocksOf[0] * blocksOf[1] * blocksOf[2];
  return { ...named(text, blocks, threads), sharedBytes: 4 * stage * (step < shape.channels ? 2 : 1) };
}
