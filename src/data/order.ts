import { randomFrom } from "../graph/random.js";

/** One 32-bit number of several: murmur3's finisher after each (Appleby 2011). */
function mixed(...numbers: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const number of numbers)
    for (const half of [number >>> 0, Math.floor(number / 2 ** 32) >>> 0]) {
      hash = (hash ^ half) >>> 0;
      hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      hash = (hash ^ (hash >>> 16)) >>> 0;
    }
  return hash;
}

/**
 * Numbers 0 to `count` - 1 in the order that a seed and an epoch give them, the same on every machine: the Fisher-Yates
 * shuffle (Durstenfeld 1964) with mulberry32. Without a seed they stay in order.
 */
export function epochOrder(count: number, seed: number | undefined, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  if (seed === undefined) return order;
  const random = randomFrom(mixed(seed, epoch));
  for (let i = count - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1));
    const kept = order[i] as number;
    order[i] = order[k] as number;
    order[k] = kept;
  }
  return order;
}
