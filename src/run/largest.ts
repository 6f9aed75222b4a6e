/**
 * The largest number from 1 on for which something holds that holds for all smaller ones; 0 if for none. It is looked for
 * from `first` on, by steps that double, upwards or downwards, then by halves; a small first step is for a guess that is close.
 */
export function largest(holds: (value: number) => boolean, first: number, step = first): number {
  let [low, high] = [0, Number.POSITIVE_INFINITY];
  let value = Math.max(1, first);
  for (let width = Math.max(1, step); high - low > 1; width *= 2) {
    if (holds(value)) low = value;
    else high = value;
    if (high === Number.POSITIVE_INFINITY) value = low + width;
    else if (low === 0 && high > width) value = high - width;
    else value = Math.floor((low + high) / 2);
  }
  return low;
}
