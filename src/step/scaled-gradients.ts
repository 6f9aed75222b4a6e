import type { Builder } from "../build/build.js";
import type { DType } from "../graph/graph.js";
import { math } from "../ops/math.js";
import { cast } from "../ops/shapes.js";
import { besideRows, type Setting, sumsOfModels } from "./coefficients.js";
import type { FlatParameters } from "./optimizer.js";

/** What happens to all gradients before the update. */
export interface GradientSettings {
  /** Gradients are scaled down to this norm, over all parameters (of a model) together, where theirs is greater. */
  readonly clipNorm?: Setting | undefined;
  /** What the loss was multiplied by before the backward phase; the gradients are divided by it: a number, or a scalar of float32. Default 1. */
  readonly lossScale?: number | string;
}

/**
 * Scales the flat gradients, in place, and returns them under their new names: divided by the loss scale, and by
 * min(1, clipNorm/(norm + 1e-6)) as PyTorch's `clip_grad_norm_` does, for each model by itself if the buffers have rows.
 */
export function scaleGradients(
  b: Builder,
  flats: readonly FlatParameters[],
  { clipNorm, lossScale = 1 }: GradientSettings,
): FlatParameters[] {
  if (clipNorm === undefined && lossScale === 1) return [...flats];
  const m = math(b);
  const inverse = typeof lossScale === "string" ? m.reciprocal(lossScale) : lossScale === 1 ? undefined : 1 / lossScale;
  const scalarOf = (value: string | number, dtype: DType): string | number =>
    typeof value === "string" ? cast(b, value, dtype) : value;
  let factor: string | undefined;
  if (clipNorm !== undefined) {
    const finest = flats.some(({ gradients }) => b.type(gradients).dtype === "float64") ? "float64" : "float32";
    const squares = flats.map((flat) => squaresOf(b, flat, finest));
    const norm = m.sqrt(squares.reduce((total, square) => m.add(total, square)));
    const unscaled = inverse === undefined ? norm : m.mul(norm, scalarOf(inverse, finest));
    const most = typeof clipNorm === "number" ? clipNorm : b.constant(finest, [clipNorm.length], clipNorm);
    const limit = m.div(most, m.add(unscaled, 1e-6));
    const clipped = m.where(m.less(limit, 1), limit, 1);
    factor = inverse === undefined ? clipped : m.mul(clipped, scalarOf(inverse, finest));
  }
  return flats.map((flat) => {
    const { dtype } = b.type(flat.gradients);
    const own = factor ?? (typeof inverse === "string" ? inverse : undefined);
    const typed = own === undefined ? b.constant(dtype, [], inverse as number) : cast(b, own, dtype);
    const by = own !== undefined && flat.rows ? besideRows(b, flat.rows, typed) : typed;
    const options = { outputs: [b.fresh(`${flat.gradients}.scaled`)], category: "gradient" as const };
    const scaled = b.op("Mul", [flat.gradients, by], {}, options);
    b.redeclare({ ...b.type(scaled), within: { tensor: flat.gradients, offsetBytes: 0 } });
    return { ...flat, gradients: scaled };
  });
}

/** The sum of the squares of a flat gradient: of all, or of each model, [models]. */
function squaresOf(b: Builder, { gradients, rows }: FlatParameters, dtype: DType): string {
  const full = cast(b, gradients, dtype);
  // the product of a vector with itself: no temporary of the gradients' size
  return rows ? sumsOfModels(b, rows, math(b).square(full)) : b.op("MatMul", [full, full]);
}
