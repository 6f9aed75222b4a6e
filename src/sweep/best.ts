import { batchOf } from "../run/batch.js";
import { type PointState, standingOf } from "./state.js";

/** What a point's step costs: as planned where there is a plan. */
export interface PointCosts {
  readonly state: PointState;
  readonly peakBytes: number;
  /** Time of a step, ms: measured of a planned one that was executed, else predicted. */
  readonly stepMs: number;
  /** The same by the samples of a batch; null where no dimension is clearly the batch. */
  readonly sampleMs: number | null;
}

/** What a point's step costs; undefined for one that has not been done, failed or does not fit. */
export function costsOf(state: PointState): PointCosts | undefined {
  if (standingOf(state) !== "done") return undefined;
  const figures = state.result?.figures ?? {};
  const first = (...names: readonly string[]): number | undefined =>
    names.map((name) => figures[name]).find((value) => value !== null && value !== undefined) ?? undefined;
  const peakBytes = first("plannedPeakBytes", "peakBytes");
  const stepMs = first("plannedStepMs", "predictedStepMs", "stepMs");
  if (peakBytes === undefined || stepMs === undefined) return undefined;
  const { dims = {} } = state.point.options;
  const batch = batchOf({ dims });
  return { state, peakBytes, stepMs, sampleMs: batch === undefined ? null : stepMs / (dims[batch] as number) };
}

/** The model files of a sweep, in the order of its points. */
export const modelsOf = (states: readonly PointState[]): string[] => [
  ...new Set(states.map(({ point }) => point.model)),
];

/**
 * The best points of each model, from the least peak on: no other needs as little memory and is as fast, by the sample
 * where all have a batch, else by the step.
 */
export const bestPoints = (states: readonly PointState[]): PointCosts[] =>
  modelsOf(states).flatMap((model) =>
    front(states.filter(({ point }) => point.model === model).flatMap((state) => costsOf(state) ?? [])),
  );

function front(costs: readonly PointCosts[]): PointCosts[] {
  const bySample = costs.every(({ sampleMs }) => sampleMs !== null);
  const timeOf = ({ stepMs, sampleMs }: PointCosts): number => (bySample ? (sampleMs as number) : stepMs);
  let least = Number.POSITIVE_INFINITY;
  return [...costs]
    .sort((a, z) => a.peakBytes - z.peakBytes || timeOf(a) - timeOf(z))
    .filter((one) => {
      if (timeOf(one) >= least) return false;
      least = timeOf(one);
      return true;
    });
}
