/**
 * The function, which then computes its answer once for each object (a graph, a run) and keeps it as long as that. They
 * are never changed after they are made, so an answer stays right; callers must not change it either.
 */
export function perObject<K extends object, T extends object | undefined>(compute: (key: K) => T): (key: K) => T {
  const known = new WeakMap<K, T>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const answer = compute(key);
    known.set(key, answer);
    return answer;
  };
}
