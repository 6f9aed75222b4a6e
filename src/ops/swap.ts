import { NodeError } from "../graph/errors.js";
import type { TensorType } from "../graph/graph.js";
import { native, noFlops, sameType, type Traits } from "./kinds.js";
import type { Op, OpCall, OpTable } from "./op.js";

/** Type of input 0, which input 1 must have too. */
const sameAsSecond = (call: OpCall): TensorType[] => {
  const [first, second] = [call.input(0), call.input(1)];
  if (first.dtype !== second.dtype || first.shape.join() !== second.shape.join())
    throw new NodeError(
      `shape mismatch: ${second.dtype}[${second.shape}] for ${first.dtype}[${first.shape}]`,
      call.node,
    );
  return sameType(call);
};

/** No kernel and no body: every runtime moves the bytes itself. */
const swapOp = (swap: NonNullable<Op["swap"]>, infer: Op["infer"], traits: Traits = {}): Op =>
  native(infer, "none", { flops: noFlops, inputTypes: "any", types: null, swap, ...traits });

/**
 * Swapping: a tensor leaves the device for a while. The graph says when each copy begins and by when it is complete, so
 * live ranges follow from the inputs alone, as everywhere. `rewrite` places these nodes; no model file holds them.
 */
export const swapping: OpTable = {
  /** h = SwapOut(x): the copy of x to the host begins. h is a host tensor. */
  "mutwo:SwapOut": swapOp("out", sameType),
  /** h' = SwapOutWait(h, x): the copy is complete. h' is h; x, which is an input, may be freed from here on. */
  "mutwo:SwapOutWait": swapOp("outWait", sameAsSecond, { view: true }),
  /** d = SwapIn(h'): the copy back begins, into the new device tensor d, which nothing may read yet. */
  "mutwo:SwapIn": swapOp("in", sameType),
  /** y = SwapInWait(d, h'): the copy back is complete. y is d, to be read from here on; h', an input, may be freed. */
  "mutwo:SwapInWait": swapOp("inWait", sameAsSecond, { view: true }),
};
