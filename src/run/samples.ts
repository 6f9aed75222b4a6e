/** Repeated measurements of one time. */
export interface Samples {
  /** Each measurement, ms, in the order taken; warm-up excluded. */
  readonly samplesMs: readonly number[];
  readonly medianMs: number;
  readonly meanMs: number;
  /** Half the distance between the quartiles: the spread that outliers do not move. */
  readonly spreadMs: number;
}

/** Median, mean and spread of measured times, ms. Throws if there is none. */
export function samplesOf(samplesMs: readonly number[]): Samples {
  if (samplesMs.length === 0) throw new Error("no samples");
  const sorted = new Float64Array(samplesMs).sort();
  const quantile = (q: number): number => {
    const at = q * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(at)] as number, sorted[Math.ceil(at)] as number];
    return low + (high - low) * (at - Math.floor(at));
  };
  const meanMs = sorted.reduce((sum, x) => sum + x, 0) / sorted.length;
  return { samplesMs, medianMs: quantile(0.5), meanMs, spreadMs: (quantile(0.75) - quantile(0.25)) / 2 };
}
