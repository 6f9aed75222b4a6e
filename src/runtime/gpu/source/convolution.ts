import { instructions } from "./attention-instructions.js";
import { type KernelSource, named } from "./kernel.js";

/*
 * Convolutions in groups on tensor cores, channels first, float32 rounded to TF32, sums in float32: what several models'
 * convolutions as one are. Each group is a product of matrices of its own; all groups together fill the device.
 *
 * Images lie in shared memory as lines of padded positions: after each row `pad` zeros, after each image `pad` rows of
 * them, which are the padding of what comes before and after. So the element that a window's tap reads for a position is
 * always as far away, whatever row it is in; positions that are padding are computed and not written.
 */

/** What a convolution with stride 1 reads and makes: `image` and `made` are [height, width]. */
export interface GroupedShape {
  readonly batch: number;
  readonly groups: number;
  /** Of a group: channels of what is read, and of what is made. */
  readonly channels: number;
  readonly made: number;
  readonly image: readonly [number, number];
  readonly result: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly pads: readonly [number, number];
  readonly dilations: readonly [number, number];
}

/** How a block goes about it. */
export interface GroupedTile {
  /** Positions and made channels of a block. */
  readonly positions: number;
  readonly channels: number;
  /** Warps along both. */
  readonly warps: readonly [number, number];
}

/** Lines of padded positions. */
interface Lines {
  /** Positions of a row and rows of an image, padding with them. */
  readonly pitch: number;
  readonly rows: number;
  /** All positions. */
  readonly count: number;
  /** How far before its own position a window begins, and how far its last tap is from the first. */
  readonly before: number;
  readonly span: number;
  readonly taps: readonly number[];
}

export function linesOf({ batch, image, kernel, pads, dilations }: GroupedShape): Lines {
  const pitch = image[1] + pads[1];
  const rows = image[0] + pads[0];
  const taps = Array.from({ length: kernel[0] * kernel[1] }, (_, tap) => {
    const [down, across] = [Math.floor(tap / kernel[1]), tap % kernel[1]];
    return down * dilations[0] * pitch + across * dilations[1];
  });
  return {
    pitch,
    rows,
    count: batch * rows * pitch,
    before: pads[0] * pitch + pads[1],
    span: taps.at(-1) as number,
    taps,
  };
}

/** The least number from n on that is so many more than a multiple. */
export const upTo = (n: number, rest: number, of: number): number => n + ((((rest - n) % of) + of) % of);

/** Channels that are read into shared memory at a time. */
const stepOf = ({ channels, kernel }: GroupedShape): number => {
  const taps = kernel[0] * kernel[1];
  return [32, 16, 8].find((step) => channels % step === 0 && step * taps <= 72) ?? 8;
};

export const constants = (all: Readonly<Record<string, number>>): string =>
  `constexpr int ${Object.entries(all)
    .map(([name, value]) => `${name} = ${value}`)
    .join(", ")};`;

export const helpers = `
struct Place { int image, row, column; };
__device__ __forceinline__ Place place_of(int flat) {
  return {flat / (PITCH * ROWS), flat / PITCH % ROWS, flat % PITCH};
}
/** Where in a group's channel a position of what is read lies; -1: it is padding. */
__device__ __forceinline__ int read_at(int flat) {
  const Place p = place_of(flat < 0 ? 0 : flat);
  return flat >= 0 && p.image < BATCH && p.row < HEIGHT && p.column < WIDTH
             ? p.image * (GROUPS * CHANNELS * HEIGHT * WIDTH) + p.row * WIDTH + p.column : -1;
}
/** The same of what is made. */
__device__ __forceinline__ int made_at(int flat) {
  const Place p = place_of(flat);
  return p.image < BATCH && p.row < MADE_HEIGHT && p.column < MADE_WIDTH
             ? p.image * (GROUPS * MADE * MADE_HEIGHT * MADE_WIDTH) + p.row * MADE_WIDTH + p.column : -1;
}
`;

export function sizes(shape: GroupedShape, lines: Lines): Record<string, number> {
  const { batch, groups, channels, made, image, result } = shape;
  return {
    BATCH: batch,
    GROUPS: groups,
    CHANNELS: channels,
    MADE: made,
    HEIGHT: image[0],
    WIDTH: image[1],
    MADE_HEIGHT: result[0],
    MADE_WIDTH: result[1],
    PITCH: lines.pitch,
    ROWS: lines.rows,
    BEFORE: lines.before,
    TAPS: lines.taps.length,
  };
}

/** Distance of each tap as a constant of the program: a list that is unrolled. */
export const distances = ({ taps }: Lines): string =>
  `__device__ __forceinline__ constexpr int distance(int tap) {
  constexpr int all[TAPS] = {${taps.join(", ")}};
  return all[tap];
}`;

/**
 * CUDA C of a convolution, or of its gradient with respect to what it reads (`transposed`: filters are those of the
 * convolution, channels of what is made are the ones that it read). Parameters: x, w, y. Filters are [groups · channels of
 * y of the convolution, channels of its x, …].
 */
export function groupedSource(shape: GroupedShape, transposed: boolean, tile: GroupedTile): KernelSource {
  const lines = linesOf(shape);
  const step = stepOf(shape);
  const taps = lines.taps.length;
  const threads = 32 * tile.warps[0] * tile.warps[1];
  const line = upTo(tile.positions + lines.span, 8, 32);
  // filters as they lie in memory: so many channels' taps of each made channel, or the other way round
  const pitch = transposed ? upTo(tile.channels * taps, 8, 32) : upTo(step * taps, 4, 8);
  const filterFloats = (transposed ? step : tile.channels) * pitch;
  const blocksOf = [
    Math.ceil(lines.count / tile.positions),
    Math.ceil(shape.made / tile.channels),
    shape.groups,
  ] as const;
  const stage = step * line + filterFloats;
  const values = {
    ...sizes(shape, lines),
    STEP: step,
    THREADS: threads,
    LINE: line,
    FILTER_PITCH: pitch,
    STAGE: stage,
    TILE: tile.positions,
    TILE_MADE: tile.channels,
    READ: tile.positions + lines.span,
    WARPS: tile.warps[0],
    MI: tile.positions / tile.warps[0] / 16,
    NI: tile.channels / tile.warps[1] / 8,
    BLOCKS: blocksOf[0],
    BLOCKS_MADE: blocksOf[1],
  };
  const filters = transposed
    ? `
  // filters of STEP channels, each with the taps of TILE_MADE made ones: [STEP][TILE_MADE * TAPS]
  constexpr int PARTS = TILE_MADE * TAPS / 4;
  for (int i = threadIdx.x; i < STEP * PARTS; i += THREADS) {
    const int k = i / PARTS, part = i % PARTS * 4;
    const bool valid = made0 * TAPS + part < MADE * TAPS;
    copy16(to + k * FILTER_PITCH + part,
           w + ((long long)(group * CHANNELS + channel + k) * MADE + made0) * TAPS + (valid ? part : 0), valid);
  }`
    : `
  // filters of TILE_MADE made channels, each with the taps of STEP channels: [TILE_MADE][STEP * TAPS]
  constexpr int PARTS = STEP * TAPS / 4;
  for (int i = threadIdx.x; i < TILE_MADE * PARTS; i += THREADS) {
    const int n = i / PARTS, part = i % PARTS * 4;
    const bool valid = made0 + n < MADE;
    copy16(to + n * FILTER_PITCH + part,
           w + ((long long)(group * MADE + (valid ? made0 + n : 0)) * CHANNELS + channel) * TAPS + part, valid);
  }`;
  const [ofMade, ofChannel] = transposed ? ["TAPS", "FILTER_PITCH"] : ["FILTER_PITCH", "TAPS"];
  const text = (name: string): string => `namespace ${name}_ {
${instructions.tf32}
${constants(values)}
${helpers}
${distances(lines)}
extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const float* x, const float* w, float* y) {
  float* const shared = (float*)mutwo_shared;
  const int block = blockIdx.x % BLOCKS, made0 = blockIdx.x / BLOCKS % BLOCKS_MADE * TILE_MADE;
  const int group = blockIdx.x / (BLOCKS * BLOCKS_MADE), first = block * TILE;
  constexpr int OWN = (READ + THREADS - 1) / THREADS;
  int from[OWN];
#pragma unroll
  for (int i = 0; i < OWN; i++) from[i] = read_at(first - BEFORE + (int)threadIdx.x + i * THREADS);
  const float* const xs = x + (long long)group * CHANNELS * (HEIGHT * WIDTH);
  auto fetch = [&](float* stage, int channel) {
#pragma unroll
    for (int i = 0; i < OWN; i++) {
      const int at = (int)threadIdx.x + i * THREADS;
      if (at < READ)
        for (int k = 0; k < STEP; k++)
          copy_small<4>(stage + k * LINE + at,
                        xs + (channel + k) * (HEIGHT * WIDTH) + (from[i] < 0 ? 0 : from[i]), from[i] >= 0);
    }
    float* const to = stage + STEP * LINE;${filters}
    copies_begin();
  };
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = warp % WARPS * (MI * 16) + lane / 4, column = warp / WARPS * (NI * 8);
  float sums[MI][NI][4];
#pragma unroll
  for (int i = 0; i < MI; i++)
#pragma unroll
    for (int j = 0; j < NI; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) sums[i][j][e] = 0.f;
  fetch(shared, 0);
  for (int channel = 0, turn = 0; channel < CHANNELS; channel += STEP, turn ^= 1) {
    copies_wait();
    __syncthreads();
    if (channel + STEP < CHANNELS) fetch(shared + (turn ^ 1) * STAGE, channel + STEP);
    const float* const a = shared + turn * STAGE + lane % 4 * LINE + row;
    const float* const b = shared + turn * STAGE + STEP * LINE + (column + lane / 4) * ${ofMade} + lane % 4 * ${ofChannel};
#pragma unroll
    for (int k = 0; k < STEP; k += 8) {
#pragma unroll
      for (int tap = 0; tap < TAPS; tap++) {
        const int filter = ${transposed ? "TAPS - 1 - tap" : "tap"};
        unsigned left[MI][4], right[NI][2];
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
          for (int e = 0; e < 4; e++)
            left[i][e] = rounded(a[(k + e / 2 * 4) * LINE + i * 16 + e % 2 * 8 + distance(tap)]);
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < 2; e++)
            right[j][e] = rounded(b[(k + e * 4) * ${ofChannel} + j * 8 * ${ofMade} + filter]);
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
          for (int j = 0; j < NI; j++) multiply(sums[i][j], left[i], right[j][0], right[j][1]);
      }
    }
  }
  float* const ys = y + (long long)group * MADE * (MADE_HEIGHT * MADE_WIDTH);
#pragma unroll
  for (int i = 0; i < MI; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int at = made_at(first + row + i * 16 + half * 8);
      if (at < 0) continue;
#pragma unroll
      for (int j = 0; j < NI; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const int n = made0 + column + j * 8 + lane % 4 * 2 + e;
          if (n < MADE) ys[at + n * (MADE_HEIGHT * MADE_WIDTH)] = sums[i][j][2 * half + e];
        }
    }
}
}
`;
  const blocks = blocksOf[0] * blocksOf[1] * blocksOf[2];
  return { ...named(text, blocks, threads), sharedBytes: 8 * stage };
}
