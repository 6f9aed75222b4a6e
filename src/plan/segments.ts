import type { Option } from "./allowed.js";
import { keep } from "./schedule.js";

/** Numbers of segments that are tried. */
const counts = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32];

/**
 * Chen's segments (2016) as vectors of `length` actions, one for each number of segments: between some activations that
 * are kept, about equally far apart in bytes, the action is taken with all that it is possible for.
 */
export function segmentVectors(options: readonly Option[], length: number, action: number): Uint8Array[] {
  const total = options.reduce((sum, { accesses }) => sum + accesses.bytes, 0);
  return counts.map((count) => {
    const actions = new Uint8Array(length).fill(keep);
    let passed = 0;
    let segment = 0;
    for (const { index, accesses, actions: possible } of options) {
      passed += accesses.bytes;
      const reached = Math.floor((count * passed) / total);
      if (reached === segment && possible.includes(action)) actions[index] = action;
      segment = reached;
    }
    return actions;
  });
}
