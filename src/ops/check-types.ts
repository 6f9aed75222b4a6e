import { NodeError } from "../graph/errors.js";
import { isFloat } from "../graph/graph.js";
import type { Op, OpCall } from "./op.js";

/**
 * Throws `type mismatch: …` for inputs whose element types do not go together by their op's record: a kernel is chosen by
 * the first one's and would read the others' bytes as if they had it too.
 */
export function checkTypes({ node, inputs }: OpCall, { inputTypes }: Op): void {
  if (inputTypes === "any") return;
  const types = inputs.flatMap((input) =>
    input && (inputTypes === "equal" || isFloat(input.dtype)) ? [input.dtype] : [],
  );
  const other = types.find((dtype) => dtype !== types[0]);
  if (other) throw new NodeError(`type mismatch: ${types[0]} and ${other}`, node);
}
