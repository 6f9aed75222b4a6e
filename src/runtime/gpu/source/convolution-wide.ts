import { instructions } from "./attention-instructions.js";
import { type GroupedShape, linesOf, placesSource, settling, upTo } from "./convolution-lines.js";
import { type KernelSource, named } from "./kernel.js";

/** Positions and made channels of a block of one warpgroup. */
const tilePositions = 128;
const tileMade = 64;
const threads = 128;

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/**
 * Products of a warpgroup (compute capability 9.0, code for sm_90a): 64 rows in registers by so many columns in shared
 * memory, 8 deep, added to `d`. Columns lie in pieces of 4 elements, one after another; `FAR` bytes further the next 4
 * elements of all. They go on beside what follows; at most N groups of them after `wide_wait<N>`.
 */
export const wideProduct = (columns: 32 | 64): string => {
  const sums = numbers(columns / 2);
  const after = (i: number): string => `%${columns / 2 + i}`;
  return `
template <int FAR> __device__ __forceinline__ void multiply_wide(float (&d)[${columns / 2}], const unsigned (&a)[4], const float* b) {
  const unsigned long long columns = (unsigned long long)((in_shared(b) & 0x3ffff) >> 4) |
                                     ((unsigned long long)(FAR >> 4) << 16) | ((unsigned long long)(128 >> 4) << 32);
  asm volatile("{\\n.reg .pred p;\\nsetp.eq.u32 p, 0, 0;\\nwgmma.mma_async.sync.aligned.m64n${columns}k8.f32.tf32.tf32 {${sums
    .map((i) => `%${i}`)
    .join(", ")}}, {${[0, 1, 2, 3].map(after).join(", ")}}, ${after(4)}, p, 1, 1;\\n}"
      : ${sums.map((i) => `"+f"(d[${i}])`).join(", ")}
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(columns));
}
__device__ __forceinline__ void wide_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wide_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wide_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }
__device__ __forceinline__ void seen_by_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void held(float& x) { asm volatile("" : "+f"(x)::"memory"); }
`;
};

/** Channels that are read at a time. */
const stepOf = ({ channels, kernel }: GroupedShape): number => {
  const taps = kernel[0] * kernel[1];
  return [32, 16, 8].find((step) => channels % step === 0 && step * taps <= 72) ?? 8;
};

/** Whether these kernels compute a convolution: one phase of what is made, windows of whole pieces. */
export const isWide = (shape: GroupedShape): boolean => {
  const taps = shape.kernel[0] * shape.kernel[1];
  const row = (shape.transposed ? shape.made : shape.channels) * taps;
  return shape.channels % 8 === 0 && row % 4 === 0 && taps <= 9 && linesOf(shape).made.length === 1;
};

/** As `groupedSource`, by products of whole warpgroups: filters are laid out for them once they are there. */
export function wideSource(shape: GroupedShape): KernelSource {
  const { transposed = false } = shape;
  const lines = linesOf(shape);
  const step = stepOf(shape);
  const taps = lines.taps.length;
  const own = tilePositions + lines.span;
  const line = upTo(own * lines.read.length, 8, 32);
  const [rows, row] = transposed ? [step, tileMade * taps] : [tileMade, step * taps];
  // a tap's filters, and 16 bytes so that taps are in other banks
  const tap = tileMade * step + 4;
  const blocksOf = [Math.ceil(lines.count / tilePositions), Math.ceil(shape.made / tileMade), shape.groups] as const;
  const [linesFloats, rawFloats, tilesFloats] = [step * line, rows * row, taps * tap];
  const values = {
    STEP: step,
    THREADS: threads,
    LINE: line,
    TILE: tilePositions,
    TILE_MADE: tileMade,
    READ: own,
    ROW: row,
    PARTS: row / 4,
    COPIES: Math.ceil((rows * row) / 4 / threads),
    ALL_PARTS: (rows * row) / 4,
    FURTHER: (transposed ? shape.made : 1) * taps,
    TAP: tap,
    LINES_SIZE: linesFloats,
    RAW_SIZE: rawFloats,
    TILES_SIZE: tilesFloats,
    BLOCKS: blocksOf[0],
    BLOCKS_MADE: blocksOf[1],
  };
  const place = transposed
    ? `made0 * TAPS + part < MADE * TAPS ? ((group * CHANNELS + row) * MADE + made0) * TAPS + part : -1`
    : `made0 + row < MADE ? (group * MADE + made0 + row) * CHANNELS * TAPS + part : -1`;
  const [channelOf, madeOf] = transposed ? ["row", "at / TAPS"] : ["at / TAPS", "row"];
  const text = (name: string): string => `namespace ${name}_ {
${instructions.tf32}${wideProduct(tileMade)}${settling}
${placesSource(shape, lines, own, values)}
extern "C" __global__ void __launch_bounds__(${threads}, 2) ${name}(const float* x, const float* w, float* y) {
  float* const shared = (float*)mutwo_shared;
  float* const raw = shared + 2 * LINES_SIZE;
  float* const tiles = raw + RAW_SIZE;
  const int block = blockIdx.x % BLOCKS, made0 = blockIdx.x / BLOCKS % BLOCKS_MADE * TILE_MADE;
  const int group = blockIdx.x / (BLOCKS * BLOCKS_MADE), first = block * TILE;
  constexpr int OWN = (READ + THREADS - 1) / THREADS;
  int from[LINES][OWN];
#pragma unroll
  for (int line = 0; line < LINES; line++)
#pragma unroll
    for (int i = 0; i < OWN; i++) from[line][i] = read_at(first - BEFORE + (int)threadIdx.x + i * THREADS, line);
  const float* const xs = x + (long long)group * CHANNELS * (HEIGHT * WIDTH);
  int filter_from[COPIES];
#pragma unroll
  for (int i = 0; i < COPIES; i++) {
    const int at = (int)threadIdx.x + i * THREADS, row = at / PARTS, part = at % PARTS * 4;
    filter_from[i] = ${place};
  }
  auto fetch = [&](float* to, int channel) {
#pragma unroll
    for (int line = 0; line < LINES; line++)
#pragma unroll
      for (int i = 0; i < OWN; i++) {
        const int at = (int)threadIdx.x + i * THREADS, place = from[line][i];
        if (at < READ) {
          const float* const source = xs + (place < 0 ? 0 : channel * (HEIGHT * WIDTH) + place);
#pragma unroll
          for (int k = 0; k < STEP; k++)
            copy_small<4>(to + k * LINE + line * READ + at, place < 0 ? xs : source + k * (HEIGHT * WIDTH), place >= 0);
        }
      }
#pragma unroll
    for (int i = 0; i < COPIES; i++) {
      const int at = (int)threadIdx.x + i * THREADS;
      if (at < ALL_PARTS)
        copy16(raw + at * 4, w + (filter_from[i] < 0 ? 0 : channel * FURTHER + filter_from[i]), filter_from[i] >= 0);
    }
    copies_begin();
  };
  // what this thread has copied, rounded; filters of each tap in the order of products
  auto settle = [&](float* to, float* tile) {
#pragma unroll
    for (int line = 0; line < LINES; line++)
#pragma unroll
      for (int i = 0; i < OWN; i++) {
        const int at = (int)threadIdx.x + i * THREADS;
        if (at < READ)
#pragma unroll
          for (int k = 0; k < STEP; k++) settled(to + k * LINE + line * READ + at);
      }
#pragma unroll
    for (int i = 0; i < COPIES; i++) {
      const int piece = (int)threadIdx.x + i * THREADS, row = piece / PARTS, part = piece % PARTS * 4;
      if (piece < ALL_PARTS) {
        const float4 four = *(const float4*)(raw + piece * 4);
        const float all[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int at = part + e, channel = ${channelOf}, made = ${madeOf};
          *(unsigned*)(tile + at % TAPS * TAP + channel / 4 * (TILE_MADE * 4) + made * 4 + channel % 4) = rounded(all[e]);
        }
      }
    }
  };
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = warp * 16 + lane / 4;
  float sums[2][32];
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int i = 0; i < 32; i++) sums[m][i] = 0.f;
  fetch(shared, 0);
  for (int channel = 0, turn = 0; channel < CHANNELS; channel += STEP, turn ^= 1) {
    copies_wait();
    settle(shared + turn * LINES_SIZE, tiles + turn * TILES_SIZE);
    seen_by_products();
    __syncthreads();
    if (channel + STEP < CHANNELS) fetch(shared + (turn ^ 1) * LINES_SIZE, channel + STEP);
    const float* const a = shared + turn * LINES_SIZE + lane % 4 * LINE + row;
    const float* const b = tiles + turn * TILES_SIZE;
    unsigned left[2][2][4];
#pragma unroll
    for (int k = 0; k < STEP; k += 8) {
#pragma unroll
      for (int tap = 0; tap < TAPS; tap++) {
        const int odd = (k / 8 * TAPS + tap) % 2;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
          for (int e = 0; e < 4; e++)
            left[odd][m][e] = bits_of(a[(k + e / 2 * 4) * LINE + m * 64 + e % 2 * 8 + distance(tap)]);
        wide_begin();
#pragma unroll
        for (int m = 0; m < 2; m++)
          multiply_wide<TILE_MADE * 16>(sums[m], left[odd][m], b + filter_of(tap) * TAP + k * TILE_MADE);
        wide_end();
        wide_wait<1>();
      }
    }
    wide_wait<0>();
  }
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int i = 0; i < 32; i++) held(sums[m][i]);
  float* const ys = y + (long long)group * MADE * (MADE_HEIGHT * MADE_WIDTH);
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int at = made_at(first + row + m * 64 + half * 8, 0);
      if (at < 0) continue;
#pragma unroll
      for (int j = 0; j < 8; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const int n = made0 + j * 8 + lane % 4 * 2 + e;
          if (n < MADE) ys[at + n * (MADE_HEIGHT * MADE_WIDTH)] = sums[m][j * 4 + half * 2 + e];
        }
    }
}
}
`;
  const blocks = blocksOf[0] * blocksOf[1] * blocksOf[2];
  return { ...named(text, blocks, threads), sharedBytes: 4 * (2 * linesFloats + rawFloats + 2 * tilesFloats) };
}
