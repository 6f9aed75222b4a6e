/** The first and the last of some consecutive nodes, by rank. */
export interface Interval {
  readonly first: number;
  readonly last: number;
}

/**
 * μ-TWO's peak_memory_interval: the run of consecutive nodes around the peak at which more bytes live than the limit;
 * undefined if the peak is within it.
 */
export function peakInterval(liveBytes: ArrayLike<number>, limitBytes: number): Interval | undefined {
  const live = (rank: number): number => liveBytes[rank] ?? Number.NEGATIVE_INFINITY;
  let first = 0;
  for (let rank = 0; rank < liveBytes.length; rank++) if (live(rank) > live(first)) first = rank;
  if (live(first) <= limitBytes) return undefined;
  let last = first;
  while (live(first - 1) > limitBytes) first--;
  while (live(last + 1) > limitBytes) last++;
  return { first, last };
}
