/** Adds a value to the list that stands under a key, which is made with the first one. */
export function addTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

/** Longer lists are told apart by a set. */
const few = 8;

/** Each value of a list once, in order: without a set where the list is short, as those of most nodes are. */
export const eachOnce = <T>(list: readonly T[]): Iterable<T> =>
  list.length > few ? new Set(list) : list.filter((one, i) => list.indexOf(one) === i);

/** The least of some numbers, and of `first`; of any number of them: arguments of `Math.min` all lie on the stack. */
export function least(numbers: Iterable<number>, first = Number.POSITIVE_INFINITY): number {
  let found = first;
  for (const number of numbers) found = Math.min(found, number);
  return found;
}

/** The greatest of some numbers, and of `first`; of any number of them. */
export function greatest(numbers: Iterable<number>, first = Number.NEGATIVE_INFINITY): number {
  let found = first;
  for (const number of numbers) found = Math.max(found, number);
  return found;
}
