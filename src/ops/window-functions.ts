import { NodeError } from "../graph/errors.js";
import { type DType, dtypeOfNumber, type TensorType } from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import { native } from "./kinds.js";
import type { Op, OpCall, OpTable } from "./op.js";

/** Element i of a window whose period is 1 at phase 1. */
type Weight = (phase: number) => number;

const cosines =
  (...terms: readonly number[]): Weight =>
  (phase) =>
    terms.reduce((sum, term, k) => sum + term * Math.cos(2 * Math.PI * k * phase), 0);

const mostElements = 2 ** 24;

/** A window function of constant size: a constant. */
function windowFunction(weight: Weight): Op {
  const typeOf = (call: OpCall): TensorType => {
    const size = call.needOne(0);
    if (!(size >= 1 && size <= mostElements))
      throw new NodeError(`${call.node.op} of ${size} elements: the most is ${mostElements}`, call.node);
    return { dtype: dtypeOfNumber(call.int("output_datatype", 1), call.node.name), shape: [size] };
  };
  const valuesOf = (call: OpCall): { dtype: DType; values: number[] } => {
    const { dtype, shape } = typeOf(call);
    const [size = 0] = shape;
    const period = call.int("periodic", 1) ? size : size - 1;
    const values = Array.from({ length: size }, (_, i) => weight(period === 0 ? 0 : i / period));
    return { dtype, values };
  };
  return native((call) => [typeOf(call)], "zero", {
    types: null,
    hostInputs: [0],
    value: (call) => {
      const { dtype, values } = valuesOf(call);
      return [{ dtype, shape: [values.length], data: bytesOf(dtype, values) }];
    },
    body: (call) => {
      const { dtype, values } = valuesOf(call);
      return [call.b.constant(dtype, [values.length], values)];
    },
  });
}

/** Window functions. */
export const windowFunctions: OpTable = {
  HannWindow: windowFunction(cosines(0.5, -0.5)),
  HammingWindow: windowFunction(cosines(25 / 46, -21 / 46)),
  BlackmanWindow: windowFunction(cosines(0.42, -0.5, 0.08)),
};
