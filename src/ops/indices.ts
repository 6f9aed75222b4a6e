import { NodeError } from "../graph/errors.js";
import type { OpCall } from "./op.js";
import { axisOf } from "./shapes.js";

/** Throws `shape mismatch: …` for indices of another rank than the data, or that reach further beside the axis. */
export function fitsBeside(call: OpCall, data: readonly number[], index: readonly number[]): void {
  const axis = axisOf(call, 0);
  if (index.length !== data.length || index.some((n, i) => i !== axis && n > (data[i] as number)))
    throw new NodeError(`shape mismatch: indices [${index}] of [${data}], axis ${axis}`, call.node);
}

/**
 * Throws `index out of range: …` for indices that are known; those that lie side by side belong to so many axes of the
 * sizes given.
 */
export function checkIndices(call: OpCall, sizes: readonly number[]): void {
  for (const [i, index] of (call.constant(1) ?? []).entries()) {
    const size = sizes[i % sizes.length] ?? 0;
    if (index < -size || index >= size)
      throw new NodeError(`index out of range: ${index} of ${size} along an axis`, call.node);
  }
}
