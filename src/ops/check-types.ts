import { NodeError } from "../graph/errors.js";
import type { OpCall } from "./op.js";
import { isFloat } from "./shapes.js";

/** Ops whose float inputs may differ in type: bounds, ratios, scales and statistics beside the data. */
const mixes = new Set([
  "BatchNormalization",
  "CastLike",
  "Dropout",
  "GroupNormalization",
  "LayerNormalization",
  "Pow",
  "RMSNormalization",
  "Resize",
  "SimplifiedLayerNormalization",
  "Upsample",
]);

/** Ops all of whose inputs have one type, whole numbers too. */
const uniform = new Set(
  "Add Sub Mul Div Mod Equal Greater Less GreaterOrEqual LessOrEqual Max Min Sum Mean Concat MatMul Gemm And Or Xor".split(
    " ",
  ),
);

/**
 * Throws `type mismatch: …` for inputs whose element types do not go together: a kernel is chosen by the first one's and
 * would read the others' bytes as if they had it too.
 */
export function checkTypes({ node, inputs }: OpCall): void {
  if (node.domain === "mutwo" || mixes.has(node.op)) return;
  const types = inputs.flatMap((input) =>
    input && (uniform.has(node.op) || isFloat(input.dtype)) ? [input.dtype] : [],
  );
  const other = types.find((dtype) => dtype !== types[0]);
  if (other) throw new NodeError(`type mismatch: ${types[0]} and ${other}`, node);
}
