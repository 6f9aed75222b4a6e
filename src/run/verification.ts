/** A tensor beside its reference. */
export interface Compared {
  readonly name: string;
  readonly relativeError: number;
}

/** The losses of the first steps beside their reference. */
export interface Curve {
  readonly expected: readonly number[];
  readonly actual: readonly number[];
  readonly maxRelativeError: number;
}

/** How a model's training step compares with reference values; what `mutwo verify --json` prints. */
export interface Verification {
  readonly model: string;
  /** Loss, every gradient and every curve within their limit (`verificationLimits`), no gradient missing. */
  readonly ok: boolean;
  readonly loss: { readonly expected: number; readonly actual: number; readonly relativeError: number };
  /** ‖actual − expected‖₂ / max(‖expected‖₂, 0.01·g·√n), g the root mean square of all expected gradient entries. */
  readonly gradients: readonly Compared[];
  /** Reference gradients that the training step does not make. */
  readonly missing: readonly string[];
  /** Running statistics after one step; reported, not judged. */
  readonly buffers: readonly Compared[];
  readonly curves: Readonly<Record<string, Curve>>;
  /** Only if all of the above is float64's (see `verifyModel`): the worst errors in float32, which are rounding alone. */
  readonly float32?: WorstErrors;
}

/** Greatest relative errors of a verification. */
export interface WorstErrors {
  readonly loss: number;
  readonly gradient: number;
  readonly curve: number;
}

/** Greatest relative errors of a step that agrees with its reference. */
export const verificationLimits: WorstErrors = { loss: 1e-4, gradient: 1e-3, curve: 1e-3 };

/** The greatest of some errors; NaN counts as the greatest there is. */
export const greatest = (errors: readonly number[]): number =>
  errors.reduce((a, z) => (z > a || Number.isNaN(z) ? z : a), 0);

/** The greatest error of each kind. */
export const worstErrors = ({
  loss,
  gradients,
  curves,
}: Pick<Verification, "loss" | "gradients" | "curves">): WorstErrors => ({
  loss: loss.relativeError,
  gradient: greatest(gradients.map(({ relativeError }) => relativeError)),
  curve: greatest(Object.values(curves).map(({ maxRelativeError }) => maxRelativeError)),
});

/** Whether every error is within its limit. NaN is within none. */
export const isWithinLimits = (worst: WorstErrors): boolean =>
  (Object.keys(verificationLimits) as (keyof WorstErrors)[]).every((key) => worst[key] <= verificationLimits[key]);
