import type { Kind } from "./attention-instructions.js";

/*
 * A warp owns MT times 16 rows of a product. Of each 16 × 8 part of it (a tile) the thread with g = lane / 4 and
 * t = lane % 4 holds four elements: rows g and g + 8, columns 2t and 2t + 1 (as mma.sync lays them out). Matrices lie in
 * shared memory in rows of LD elements, of which D count; LD is chosen so that no two threads of a load meet in a bank.
 */

/** What all kinds have: copies of rows into shared memory, zeros beyond the end and beyond the width. */
const common = `
template <int ROWS> __device__ __forceinline__ void fetch(T* tile, const T* from, int first, int count, long long stride) {
  constexpr int chunk = 16 / sizeof(T), each = D / chunk;
  #pragma unroll
  for (int i = threadIdx.x; i < ROWS * each; i += THREADS) {
    const int row = i / each, column = i % each * chunk;
    const bool valid = first + row < count && column < W;
    copy16(tile + row * LD + column, valid ? from + (first + row) * stride + column : from, valid);
  }
}
`;

/** Rows of a matrix as the left operand: in registers, or read from shared memory each time. */
const held = `
constexpr int KS = D * (int)sizeof(T) / 32;
template <bool KEEP> struct Rows {
  const T* at;
  unsigned r[KEEP ? MT : 1][KEEP ? KS : 1][4];
  __device__ __forceinline__ void get(unsigned (&a)[4], int m, int step) const {
    const int lane = threadIdx.x % 32;
    load4(a, (const char*)(at + (m * 16 + lane % 16) * LD) + step * 32 + lane / 16 * 16);
  }
  __device__ __forceinline__ void begin(const T* tile) {
    at = tile;
    if (KEEP)
      #pragma unroll
      for (int m = 0; m < MT; m++)
        #pragma unroll
        for (int step = 0; step < KS; step++) get(r[KEEP ? m : 0][KEEP ? step : 0], m, step);
  }
};
/** acc = rows · tileᵀ, for the rows of a tile of BN rows. */
template <bool KEEP> __device__ __forceinline__ void products(float (&acc)[MT][NT][4], const Rows<KEEP>& rows, const T* tile) {
  const int lane = threadIdx.x % 32;
  #pragma unroll
  for (int m = 0; m < MT; m++)
    #pragma unroll
    for (int n = 0; n < NT; n++)
      #pragma unroll
      for (int e = 0; e < 4; e++) acc[m][n][e] = 0;
  const char* from = (const char*)(tile + (lane / 16 * 8 + lane % 8) * LD) + lane / 8 % 2 * 16;
  #pragma unroll
  for (int step = 0; step < KS; step++) {
    unsigned a[MT][4];
    #pragma unroll
    for (int m = 0; m < MT; m++)
      if (KEEP)
        #pragma unroll
        for (int i = 0; i < 4; i++) a[m][i] = rows.r[KEEP ? m : 0][KEEP ? step : 0][i];
      else rows.get(a[m], m, step);
    #pragma unroll
    for (int n = 0; n < NT; n += 2) {
      unsigned b[4];
      load4(b, from + n * 8 * LD * (int)sizeof(T) + step * 32);
      #pragma unroll
      for (int m = 0; m < MT; m++) {
        multiply(acc[m][n], a[m], b[0], b[1]);
        multiply(acc[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}
`;

const halves = `
template <int ROWS> __device__ __forceinline__ void settle(T*) {}
/** out += p · tile, for a tile of BN rows. */
__device__ __forceinline__ void accumulate(float (&out)[MT][DT][4], const float (&p)[MT][NT][4], const T* tile) {
  const int lane = threadIdx.x % 32;
  const T* from = tile + (lane / 8 % 2 * 8 + lane % 8) * LD + lane / 16 * 8;
  #pragma unroll
  for (int k = 0; k < NT / 2; k++) {
    unsigned a[MT][4];
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int i = 0; i < 4; i++) a[m][i] = pack(p[m][2 * k + i / 2][i % 2 * 2], p[m][2 * k + i / 2][i % 2 * 2 + 1]);
    #pragma unroll
    for (int n = 0; n < DT; n += 2) {
      unsigned b[4];
      load4_turned(b, from + k * 16 * LD + n * 8);
      #pragma unroll
      for (int m = 0; m < MT; m++) {
        multiply(out[m][n], a[m], b[0], b[1]);
        multiply(out[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}
__device__ __forceinline__ void store2(T* at, float a, float b) { *(unsigned*)at = pack(a, b); }
`;

const tf32 = `
/** Rounds what this thread has copied: the tensor cores would cut it off. */
template <int ROWS> __device__ __forceinline__ void settle(T* tile) {
  constexpr int each = D / 4;
  #pragma unroll
  for (int i = threadIdx.x; i < ROWS * each; i += THREADS) {
    float4* at = (float4*)(tile + i / each * LD + i % each * 4);
    float4 x = *at;
    x.x = __uint_as_float(rounded(x.x));
    x.y = __uint_as_float(rounded(x.y));
    x.z = __uint_as_float(rounded(x.z));
    x.w = __uint_as_float(rounded(x.w));
    *at = x;
  }
}
/** out += p · tile; the order of a sum's parts is free, so columns 2t and 2t + 1 of p stand for the k of t and t + 4. */
__device__ __forceinline__ void accumulate(float (&out)[MT][DT][4], const float (&p)[MT][NT][4], const T* tile) {
  const int lane = threadIdx.x % 32;
  const unsigned* from = (const unsigned*)tile + lane % 4 * 2 * LD + lane / 4;
  #pragma unroll
  for (int k = 0; k < NT; k++) {
    unsigned a[MT][4];
    #pragma unroll
    for (int m = 0; m < MT; m++) {
      a[m][0] = rounded(p[m][k][0]);
      a[m][1] = rounded(p[m][k][2]);
      a[m][2] = rounded(p[m][k][1]);
      a[m][3] = rounded(p[m][k][3]);
    }
    #pragma unroll
    for (int n = 0; n < DT; n++) {
      const unsigned b0 = from[k * 8 * LD + n * 8], b1 = from[(k * 8 + 1) * LD + n * 8];
      #pragma unroll
      for (int m = 0; m < MT; m++) multiply(out[m][n], a[m], b0, b1);
    }
  }
}
__device__ __forceinline__ void store2(T* at, float a, float b) { *(float2*)at = make_float2(a, b); }
`;

/** Products of tiles, rows against rows and rows against columns, for a kind. */
export const tiles: Readonly<Record<Kind, string>> = {
  bfloat16: common + held + halves,
  float16: common + held + halves,
  tf32: common + held + tf32,
};
