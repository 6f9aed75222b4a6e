/** All functions that keep their answers. */
const all: WeakMap<object, object>[] = [];

/**
 * The function, which then computes its answer once for each object (a graph, a run) and keeps it as long as that. They
 * are never changed after they are made, so an answer stays right; callers must not change it either.
 */
export function perObject<K extends object, T extends object | undefined>(compute: (key: K) => T): (key: K) => T {
  const known = new WeakMap<K, NonNullable<T>>();
  all.push(known);
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const answer = compute(key);
    if (answer !== undefined) known.set(key, answer);
    return answer;
  };
}

/**
 * Hands a copy what has been computed of the original so far; the copy must not differ in anything that a function of
 * `perObject` looks at. The original need not be kept for it.
 */
export function inheritAnswers(copy: object, original: object): void {
  for (const known of all) {
    const answer = known.get(original);
    if (answer !== undefined && !known.has(copy)) known.set(copy, answer);
  }
}
