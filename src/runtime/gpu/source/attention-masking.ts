/** Masks of scores, and the sum or the largest over the four threads of a row. */
export const masking = `
/** The mask's elements for this thread's scores, read all at once, before they are needed; the nearest ones beyond the end. */
template <bool TURNED> __device__ __forceinline__ void read_mask(M (&raw)[MT][NT][4], int row, int column, const M* mask) {
  #pragma unroll
  for (int m = 0; m < MT; m++)
    #pragma unroll
    for (int n = 0; n < NT; n++)
      #pragma unroll
      for (int e = 0; e < 4; e++) {
        const int r = row + m * 16 + e / 2 * 8, c = column + n * 8 + e % 2;
        raw[m][n][e] = mask[min(TURNED ? c : r, LQ - 1) * M2 + min(TURNED ? r : c, LK - 1) * M3];
      }
}
/**
 * Scores with the mask, those hidden −∞; \`row\` and \`column\` are those of this thread's first element. Without a mask they
 * are still to be multiplied by FACTOR.
 */
template <bool TURNED> __device__ __forceinline__ void masked(C (&s)[MT][NT][4], int row, int column, const M (&raw)[MT][NT][4], bool edge) {
  if (MASKED)
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int e = 0; e < 4; e++) s[m][n][e] = fused(s[m][n][e], FACTOR, mask_value(raw[m][n][e]));
  if (edge)
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int e = 0; e < 4; e++) {
          const int r = row + m * 16 + e / 2 * 8, c = column + n * 8 + e % 2;
          const int i = TURNED ? c : r, j = TURNED ? r : c;
          if (j >= LK || (MASKED && i >= LQ) || (CAUSAL && j > i + AHEAD)) s[m][n][e] = hidden();
        }
}
/** What a score is multiplied by inside the power. */
constexpr C INSIDE = MASKED ? (C)1 : FACTOR;
__device__ __forceinline__ C row_most(C x) {
  x = most_of(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return most_of(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ C row_sum(C x) {
  x = x + __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
/** Writes rows of results, which begin at \`row\` of \`count\`; each is multiplied by a number of its own. */
__device__ __forceinline__ void store(T* to, const C (&x)[MT][DT][4], const C (&by)[MT][2], int row, int count, long long stride) {
  const int t = threadIdx.x % 4;
  #pragma unroll
  for (int m = 0; m < MT; m++)
    #pragma unroll
    for (int r = 0; r < 2; r++) {
      const int at = row + m * 16 + r * 8;
      if (at >= count) continue;
      #pragma unroll
      for (int n = 0; n < DT; n++)
        if (n * 8 < W) store2(to + at * stride + n * 8 + 2 * t, x[m][n][2 * r] * by[m][r], x[m][n][2 * r + 1] * by[m][r]);
    }
}
`;
