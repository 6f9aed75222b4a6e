/** Sizes of the sub-arrays of one architecture, two and two beside each other; one of 0 models is none. */
export type Partition = readonly (readonly [number, number])[];

/**
 * The partitions of so many models of one architecture into pairs of sub-arrays, those of the largest sub-arrays first:
 * as many pairs of a size as fit, what is left as one pair of equal halves (8 models: 4+4, 3+3 and 1+1, twice 2+2, four
 * times 1+1). Of an odd number one pair has a model less on its second side, with one model nothing (mutwo.md 12).
 */
export function partitions(count: number): Partition[] {
  const isOdd = count % 2 === 1;
  const found: Partition[] = [];
  for (let size = Math.ceil(count / 2); size >= 1; size--) {
    const pairs: (readonly [number, number])[] = isOdd ? [[size, size - 1]] : [];
    let left = count - (isOdd ? 2 * size - 1 : 0);
    for (; left >= 2 * size; left -= 2 * size) pairs.push([size, size]);
    if (left > 0) pairs.push([left / 2, left / 2]);
    found.push(pairs);
  }
  return found;
}

/** How many models of an architecture (its number) a sub-array holds. */
export interface Share {
  readonly kind: number;
  readonly size: number;
}

/**
 * The ways to cut models into sub-arrays, those of the largest first: of one architecture its partitions into pairs; of
 * several each one's, or all of one in one sub-array, beside the others. `counts`: models of each architecture.
 */
export function sharings(counts: readonly number[]): Share[][] {
  const sizes = counts.map((count): number[][] => [
    ...(counts.length > 1 ? [[count]] : []),
    ...partitions(count).map((pairs) => pairs.flat().filter((size) => size > 0)),
  ]);
  const most = Math.max(0, ...sizes.map(({ length }) => length));
  const found = Array.from({ length: most }, (_, level) =>
    sizes.flatMap((ways, kind) => (ways[level] ?? ways.at(-1) ?? []).map((size) => ({ kind, size }))),
  );
  const known = new Set<string>();
  return found.filter((shares) => {
    const key = JSON.stringify(shares);
    return !known.has(key) && known.add(key);
  });
}

/** Of more than so many ways to cut models, from few sub-arrays to many, those of half, a quarter, … the models; and the last. */
export function halving<Way>(ways: readonly Way[], most = ways.length): Way[] {
  if (ways.length <= most) return [...ways];
  const places = Array.from({ length: most - 1 }, (_, i) => ways.length - Math.ceil(ways.length / 2 ** i));
  return [...new Set([...places, ways.length - 1])].map((place) => ways[place] as Way);
}

/**
 * Sub-arrays in the order in which they follow one another, neighbours of about the same time: those beside each other,
 * two and two, are the pairs of closest iteration times.
 */
export const byTime = <Timed extends { readonly ms: number }>(subArrays: readonly Timed[]): Timed[] =>
  [...subArrays].sort((a, z) => z.ms - a.ms);
