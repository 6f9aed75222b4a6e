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
