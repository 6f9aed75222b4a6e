import type { Builder } from "../build/build.js";
import { int } from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import type { Emit } from "../ops/emit.js";
import { math } from "../ops/math.js";
import { cast } from "../ops/shapes.js";
import { besideRows, listed, sumsOfModels } from "./coefficients.js";
import { type FlatParameters, next, type State } from "./optimizer.js";
import { type Named, numericSettings, takeSetting } from "./settings.js";

/**
 * A loss scale that follows the gradients, as that of PyTorch's GradScaler, with its names: a step whose gradients are not
 * all finite changes no parameter and no optimizer state, and lowers the scale; so many in a row that are finite raise it.
 */
export interface DynamicScale {
  readonly init_scale: number;
  /** What the scale is multiplied by after `growth_interval` finite steps in a row. */
  readonly growth_factor: number;
  /** What it is multiplied by after a step that was not finite. */
  readonly backoff_factor: number;
  readonly growth_interval: number;
}

/** What the loss is multiplied by before the backward phase, so that small gradients do not vanish in float16. */
export type LossScale = number | DynamicScale;

/** PyTorch's defaults. */
const defaults: DynamicScale = { init_scale: 65536, growth_factor: 2, backoff_factor: 0.5, growth_interval: 2000 };

/** Settings of a loss scale: `loss_scale` is a number or `dynamic`. Throws for wrong ones; `fallback` stands where none is given. */
export function lossScaleOf(named: Named, fallback: number | "dynamic"): LossScale {
  const { value = String(fallback), rest } = takeSetting(named, "loss_scale");
  if (value !== "dynamic") {
    const given = { ...rest, settings: new Map([...rest.settings, ["loss_scale", value]]) };
    const { loss_scale } = numericSettings(given, { loss_scale: 1 });
    if (!(loss_scale > 0)) throw new Error(`loss_scale is not positive: ${loss_scale}`);
    return loss_scale;
  }
  const dynamic = numericSettings(rest, { ...defaults });
  const { init_scale, growth_factor, backoff_factor, growth_interval } = dynamic;
  if (!(init_scale > 0)) throw new Error(`init_scale is not positive: ${init_scale}`);
  if (!(growth_factor > 1)) throw new Error(`growth_factor is not above 1: ${growth_factor}`);
  if (!(backoff_factor > 0 && backoff_factor < 1))
    throw new Error(`backoff_factor is not between 0 and 1: ${backoff_factor}`);
  if (!Number.isSafeInteger(growth_interval) || growth_interval < 1)
    throw new Error(`growth_interval is not a positive whole number: ${growth_interval}`);
  return dynamic;
}

/** A gradient multiplied by a loss scale. */
export const scaledBy = (b: Emit, gradient: string, scale: string): string =>
  math(b).mul(gradient, cast(b, scale, b.type(gradient).dtype));

/** The greatest finite float32. */
const mostFloat32 = 3.4028234663852886e38;

/** A dynamic loss scale in a step: the tensors that it lies in; of several models, vectors with one of each. */
export class ScaleInStep {
  /** The scale, a float32 scalar or a vector [models]. */
  readonly scale: string;
  /** Finite steps since the scale changed last. */
  private readonly tracker: string;

  /** Declares the state. */
  constructor(
    private readonly b: Builder,
    private readonly settings: DynamicScale,
    models?: number,
  ) {
    const declared = (name: string, value: number): string =>
      b.declare({
        name: b.fresh(name),
        dtype: "float32",
        shape: models ? [models] : [],
        category: "optimizer state",
        data: bytesOf("float32", listed(value, models ?? 1)),
      });
    this.scale = declared("loss_scale", settings.init_scale);
    this.tracker = declared("loss_scale.growth_tracker", 0);
  }

  /** A gradient multiplied by the scale. */
  times(gradient: string): string {
    return scaledBy(this.b, gradient, this.scale);
  }

  /** Whether all elements of all gradients (of a model) are finite, bools: a sum of them is, if all of them are. */
  finite(flats: readonly FlatParameters[]): string {
    const { b } = this;
    const m = math(b);
    const sums = flats.map(({ gradients, rows }) => {
      const full = b.type(gradients).dtype === "float64" ? gradients : cast(b, gradients, "float32");
      const sum = rows ? sumsOfModels(b, rows, full) : b.op("ReduceSum", [full], { keepdims: int(0) });
      return cast(b, sum, "float32");
    });
    const total = sums.reduce((one, other) => m.add(one, other));
    return m.lessOrEqual(m.abs(total), mostFloat32); // false of NaN
  }

  /** What the update of a flat buffer replaces, kept as it was where the gradients are not finite. */
  guard(finite: string, { parameters, rows }: FlatParameters, update: readonly State[]): State[] {
    const { b } = this;
    const [length] = b.type(parameters).shape;
    return update.map(({ before, after }) => {
      const tried = b.fresh(`${after}/tried`);
      const { category, shape } = b.type(after);
      b.rename(after, tried);
      b.redeclare({ ...b.type(tried), category: "temporary" });
      const options = { outputs: [after], category };
      const each = rows && shape.length > 1 && shape[0] === length ? besideRows(b, rows, finite) : finite;
      return { before, after: b.op("Where", [each, tried, before], {}, options) };
    });
  }

  /**
   * The next scale (PyTorch's `_amp_update_scale_`): not finite: scale·backoff, tracker 0; the growth_interval-th finite
   * step in a row: scale·growth, if that is finite, tracker 0; else tracker + 1.
   */
  next(finite: string): State[] {
    const { b, scale, tracker, settings } = this;
    const m = math(b);
    const counted = m.add(tracker, 1);
    const isFull = m.greaterOrEqual(counted, settings.growth_interval);
    const grown = m.mul(scale, settings.growth_factor);
    const raised = m.where(m.and(isFull, m.lessOrEqual(grown, mostFloat32)), grown, scale);
    const lowered = m.mul(scale, settings.backoff_factor);
    const newScale = b.op("Where", [finite, raised, lowered], {}, next(b, scale));
    const goesOn = m.and(finite, m.not(isFull));
    const newTracker = b.op("Where", [goesOn, counted, b.scalar(0, counted)], {}, next(b, tracker));
    return [
      { before: scale, after: newScale },
      { before: tracker, after: newTracker },
    ];
  }
}
