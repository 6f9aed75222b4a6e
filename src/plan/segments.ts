/**
 * Chen's segments (2016): the places of the activations that bound so many segments, about equally far apart in bytes.
 * What bounds a segment is kept; the others are made again.
 */
export function segmentBounds(bytes: readonly number[], count: number): ReadonlySet<number> {
  const total = bytes.reduce((sum, one) => sum + one, 0);
  const bounds = new Set<number>();
  let passed = 0;
  let segment = 0;
  bytes.forEach((one, place) => {
    passed += one;
    const reached = Math.floor((count * passed) / total);
    if (reached > segment) bounds.add(place);
    segment = reached;
  });
  return bounds;
}

/** Numbers of segments from one up to as many as there are activations: all of the small ones, then some, `most` or few more. */
export function segmentCounts(activations: number, most: number): number[] {
  const counts: number[] = [];
  const growth = activations ** (2 / most);
  for (let count = 1; count <= activations; count = Math.max(count + 1, Math.floor(count * growth))) counts.push(count);
  return counts;
}

/**
 * Tries some numbers of segments, then as many as just fit: the more segments beyond those of the lowest peak, the less
 * is made again. `peakOf` tells the peak of a plan with these bounds.
 */
export function trySegments(
  bytes: readonly number[],
  trials: number,
  goalBytes: number,
  peakOf: (bounds: ReadonlySet<number>) => number,
): void {
  const peak = (count: number): number => peakOf(segmentBounds(bytes, count));
  const tried = segmentCounts(bytes.length, trials).map((count) => ({ count, peak: peak(count) }));
  const lowest = tried.reduce((a, z) => (z.peak < a.peak ? z : a));
  let fits = lowest.count;
  let most = lowest.peak <= goalBytes ? bytes.length : fits;
  while (most - fits > 1) {
    const count = (fits + most) >> 1;
    if (peak(count) <= goalBytes) fits = count;
    else most = count;
  }
}
