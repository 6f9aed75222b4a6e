/*
 * The passes over an attention, in the words of attention-tiles.ts. T is the type in memory, C the one of sums. Rows and
 * columns of scores are queries and keys, in the keys' pass keys and queries.
 */

/** Where the thread, its warp and its block are; `over` rows are shared by the blocks of each of `lines` heads. */
const places = (over: string, lines: string, longestLast: boolean): string => `
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  constexpr int parts = (${over} + BM - 1) / BM;
  const int part = blockIdx.x % parts, first = ${longestLast ? "(CAUSAL ? parts - 1 - part : part)" : "part"} * BM;
  const int at = blockIdx.x / parts, batch = at / (${lines}), head = at % (${lines});
  const int row = first + warp * MT * 16 + g;
`;

/**
 * The loop over what is streamed, from tile `begin` to `end`: the next one is fetched while this one is worked on, if
 * there is room for two. `fetch` and `settle` handle the tile \`j\` in the room \`stage\`.
 */
const streamed = (parts: {
  readonly own: string;
  readonly settleOwn: string;
  readonly hold: string;
  readonly fetch: string;
  readonly settle: string;
  readonly work: string;
}): string => `
  const auto fetch_tile = [&](int j, int stage) {
${parts.fetch}    copies_begin();
  };
${parts.own}  copies_begin();
  if (STAGES == 2 && begin < end) fetch_tile(begin, 0);
  copies_wait();
${parts.settleOwn}  __syncthreads();
${parts.hold}  for (int j = begin; j < end; j++) {
    const int stage = STAGES == 2 ? (j - begin) % 2 : 0;
    if (STAGES == 1) {
      __syncthreads();
      fetch_tile(j, 0);
    }
    copies_wait();
${parts.settle}    __syncthreads();
    if (STAGES == 2 && j + 1 < end) fetch_tile(j + 1, 1 - stage);
${parts.work}  }
`;

const keysStreamed = {
  fetch: `    fetch<BN>(kt + stage * BN * LD, k, j * BN, LK, K2);
    fetch<BN>(vt + stage * BN * LD, v, j * BN, LK, V2);
`,
  settle: `    settle<BN>(kt + stage * BN * LD);
    settle<BN>(vt + stage * BN * LD);
`,
};

/** Which keys the queries of a block see, and whether a tile of them has some that are hidden. */
const seenKeys = `
  constexpr int tiles = (LK + BN - 1) / BN;
  const int begin = 0, seen = (min(first + BM, LQ) - 1 + AHEAD) / BN + 1, end = CAUSAL ? min(tiles, seen) : tiles;
`;

const isEdge = "(j + 1) * BN > LK || (CAUSAL && (j + 1) * BN - 1 > first + warp * MT * 16 + AHEAD)";

export const forwardPass = `${places("LQ", "HEADS", true)}
  q += batch * Q0 + head * Q1;
  k += batch * K0 + head / GROUP * K1;
  v += batch * V0 + head / GROUP * V1;
  y += batch * Y0 + head * Y1;
  if (MASKED) mask += batch * M0 + head * M1;
  T* const qt = (T*)mutwo_shared;
  T* const kt = qt + BM * LD;
  T* const vt = kt + STAGES * BN * LD;
  Rows<KEEP0> rows;
  C out[MT][DT][4], most[MT][2], sum[MT][2];
  #pragma unroll
  for (int m = 0; m < MT; m++) {
    #pragma unroll
    for (int n = 0; n < DT; n++)
      #pragma unroll
      for (int e = 0; e < 4; e++) out[m][n][e] = 0;
    #pragma unroll
    for (int r = 0; r < 2; r++) most[m][r] = hidden(), sum[m][r] = 0;
  }
${seenKeys}${streamed({
  own: "  fetch<BM>(qt, q, first, LQ, Q2);\n",
  settleOwn: "  settle<BM>(qt);\n",
  hold: "  rows.begin(qt + warp * MT * 16 * LD);\n",
  ...keysStreamed,
  work: `
    C s[MT][NT][4];
    M raw[MT][NT][4];
    if (MASKED) read_mask<false>(raw, row, j * BN + 2 * t, mask);
    products(s, rows, kt + stage * BN * LD);
    masked<false>(s, row, j * BN + 2 * t, raw, ${isEdge});
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int r = 0; r < 2; r++) {
        C top = s[m][0][2 * r];
        #pragma unroll
        for (int n = 0; n < NT; n++) top = most_of(top, most_of(s[m][n][2 * r], s[m][n][2 * r + 1]));
        top = most_of(most[m][r], row_most(top) * INSIDE);
        const C base = top == hidden() ? (C)0 : top, shrink = power2(most[m][r] - base);
        most[m][r] = top;
        C total = 0;
        #pragma unroll
        for (int n = 0; n < NT; n++)
          #pragma unroll
          for (int e = 2 * r; e < 2 * r + 2; e++) {
            s[m][n][e] = power2(fused(s[m][n][e], INSIDE, -base));
            total = total + s[m][n][e];
          }
        sum[m][r] = fused(sum[m][r], shrink, total);
        #pragma unroll
        for (int n = 0; n < DT; n++)
          #pragma unroll
          for (int e = 2 * r; e < 2 * r + 2; e++) out[m][n][e] = out[m][n][e] * shrink;
      }
    accumulate(out, s, vt + stage * BN * LD);
`,
})}
  statistics += (long long)at * LQ;
  #pragma unroll
  for (int m = 0; m < MT; m++)
    #pragma unroll
    for (int r = 0; r < 2; r++) {
      const C total = row_sum(sum[m][r]);
      const C inverse = ZERO_HIDDEN && total == 0 ? (C)0 : 1 / total;
      const int i = row + m * 16 + r * 8;
      if (t == 0 && i < LQ) {
        statistics[i] = most[m][r] == hidden() ? (C)0 : most[m][r];
        statistics[i + (long long)BATCH * HEADS * LQ] = inverse;
      }
      sum[m][r] = inverse;
    }
  store(y, out, sum, row, LQ, Y2);
`;

export const queriesPass = `${places("LQ", "HEADS", true)}
  q += batch * Q0 + head * Q1;
  k += batch * K0 + head / GROUP * K1;
  v += batch * V0 + head / GROUP * V1;
  y += batch * Y0 + head * Y1;
  dy += batch * Y0 + head * Y1;
  if (MASKED) mask += batch * M0 + head * M1;
  T* const qt = (T*)mutwo_shared;
  T* const gt = qt + BM * LD;
  T* const kt = gt + BM * LD;
  T* const vt = kt + STAGES * BN * LD;
  Rows<KEEP0> rows;
  Rows<KEEP1> gradients;
  C out[MT][DT][4], base[MT][2], inverse[MT][2], sum[MT][2];
  statistics += (long long)at * LQ;
  delta += (long long)at * LQ;
  #pragma unroll
  for (int m = 0; m < MT; m++) {
    #pragma unroll
    for (int n = 0; n < DT; n++)
      #pragma unroll
      for (int e = 0; e < 4; e++) out[m][n][e] = 0;
    #pragma unroll
    for (int r = 0; r < 2; r++) {
      const int i = row + m * 16 + r * 8;
      const bool is_row = i < LQ;
      base[m][r] = is_row ? statistics[i] : (C)0;
      inverse[m][r] = is_row ? statistics[i + (long long)BATCH * HEADS * LQ] : (C)0;
      C part = 0;
      constexpr int chunk = 16 / sizeof(T);
      if (is_row)
        for (int c = t * chunk; c < W; c += 4 * chunk) {
          const uint4 a4 = *(const uint4*)(y + i * Y2 + c), b4 = *(const uint4*)(dy + i * Y2 + c);
          const T *a = (const T*)&a4, *b = (const T*)&b4;
          #pragma unroll
          for (int x = 0; x < chunk; x++) part = fused(widen(a[x]), widen(b[x]), part);
        }
      sum[m][r] = row_sum(part);
      if (t == 0 && is_row) delta[i] = sum[m][r];
    }
  }
  if (!dq) return;
${seenKeys}${streamed({
  own: "  fetch<BM>(qt, q, first, LQ, Q2);\n  fetch<BM>(gt, dy, first, LQ, Y2);\n",
  settleOwn: "  settle<BM>(qt);\n  settle<BM>(gt);\n",
  hold: "  rows.begin(qt + warp * MT * 16 * LD);\n  gradients.begin(gt + warp * MT * 16 * LD);\n",
  ...keysStreamed,
  work: `
    C s[MT][NT][4], d[MT][NT][4];
    M raw[MT][NT][4];
    if (MASKED) read_mask<false>(raw, row, j * BN + 2 * t, mask);
    products(s, rows, kt + stage * BN * LD);
    masked<false>(s, row, j * BN + 2 * t, raw, ${isEdge});
    products(d, gradients, vt + stage * BN * LD);
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int e = 0; e < 4; e++)
          s[m][n][e] = power2(fused(s[m][n][e], INSIDE, -base[m][e / 2])) * inverse[m][e / 2] * (d[m][n][e] - sum[m][e / 2]);
    accumulate(out, s, kt + stage * BN * LD);
`,
})}
  C scale[MT][2];
  #pragma unroll
  for (int m = 0; m < MT; m++) scale[m][0] = scale[m][1] = SCALE;
  store(dq + batch * Q0 + head * Q1, out, scale, row, LQ, Q2);
`;

export const keysPass = `${places("LK", "HEADS / GROUP", false)}
  k += batch * K0 + head * K1;
  v += batch * V0 + head * V1;
  q += batch * Q0 + head * GROUP * Q1;
  dy += batch * Y0 + head * GROUP * Y1;
  if (MASKED) mask += batch * M0 + head * GROUP * M1;
  const long long lines = (long long)(batch * HEADS + head * GROUP) * LQ;
  const C* const largest = statistics + lines;
  const C* const inverses = largest + (long long)BATCH * HEADS * LQ;
  delta += lines;
  T* const kt = (T*)mutwo_shared;
  T* const vt = kt + BM * LD;
  T* const qt = vt + BM * LD;
  T* const gt = qt + STAGES * BN * LD;
  C* const columns = (C*)(gt + STAGES * BN * LD);
  Rows<KEEP0> rows;
  Rows<KEEP1> values;
  C outK[MT][DT][4], outV[MT][DT][4];
  #pragma unroll
  for (int m = 0; m < MT; m++)
    #pragma unroll
    for (int n = 0; n < DT; n++)
      #pragma unroll
      for (int e = 0; e < 4; e++) outK[m][n][e] = outV[m][n][e] = 0;
  // the queries that see the first key, of each head that shares the keys
  constexpr int tiles = (LQ + BN - 1) / BN;
  const int from = CAUSAL ? min(tiles, max(first - AHEAD, 0) / BN) : 0, each = tiles - from, begin = 0, end = GROUP * each;
${streamed({
  own: "  fetch<BM>(kt, k, first, LK, K2);\n  fetch<BM>(vt, v, first, LK, V2);\n",
  settleOwn: "  settle<BM>(kt);\n  settle<BM>(vt);\n",
  hold: "  rows.begin(kt + warp * MT * 16 * LD);\n  values.begin(vt + warp * MT * 16 * LD);\n",
  fetch: `    const int shift = j / each, tile = (from + j % each) * BN;
    fetch<BN>(qt + stage * BN * LD, q + shift * Q1, tile, LQ, Q2);
    fetch<BN>(gt + stage * BN * LD, dy + shift * Y1, tile, LQ, Y2);
    for (int i = threadIdx.x; i < BN; i += THREADS) {
      const bool valid = tile + i < LQ;
      const long long line = valid ? (long long)shift * LQ + tile + i : 0;
      C* const to = columns + stage * 3 * BN + i;
      copy_small<sizeof(C)>(to, largest + line, valid);
      copy_small<sizeof(C)>(to + BN, inverses + line, valid);
      copy_small<sizeof(C)>(to + 2 * BN, delta + line, valid);
    }
`,
  settle: `    settle<BN>(qt + stage * BN * LD);
    settle<BN>(gt + stage * BN * LD);
`,
  work: `
    const int tile = (from + j % each) * BN;
    const C* const column = columns + stage * 3 * BN + 2 * t;
    C s[MT][NT][4], d[MT][NT][4];
    M raw[MT][NT][4];
    if (MASKED) read_mask<true>(raw, row, tile + 2 * t, mask + j / each * M1);
    products(s, rows, qt + stage * BN * LD);
    masked<true>(s, row, tile + 2 * t, raw, (MASKED && tile + BN > LQ) || (CAUSAL && first + BM - 1 > tile + AHEAD));
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int e = 0; e < 4; e++)
          s[m][n][e] = power2(fused(s[m][n][e], INSIDE, -column[n * 8 + e % 2])) * column[BN + n * 8 + e % 2];
    accumulate(outV, s, gt + stage * BN * LD);
    products(d, values, gt + stage * BN * LD);
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int e = 0; e < 4; e++) s[m][n][e] = s[m][n][e] * (d[m][n][e] - column[2 * BN + n * 8 + e % 2]);
    accumulate(outK, s, qt + stage * BN * LD);
`,
})}
  C scale[MT][2];
  #pragma unroll
  for (int m = 0; m < MT; m++) scale[m][0] = scale[m][1] = SCALE;
  if (dk) store(dk + batch * K0 + head * K1, outK, scale, row, LK, K2);
  #pragma unroll
  for (int m = 0; m < MT; m++) scale[m][0] = scale[m][1] = 1;
  if (dv) store(dv + batch * V0 + head * V1, outV, scale, row, LK, V2);
`;
