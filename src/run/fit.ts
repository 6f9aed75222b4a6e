import type { Graph } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import { own } from "../own.js";
import { parseFit } from "../plan/budget.js";
import type { Plan } from "../plan/plan.js";
import { planGraph } from "../plan/planners/index.js";
import { batchDim } from "./batch.js";
import { largest } from "./largest.js";
import { type NodeRow, tables } from "./node-rows.js";
import { checkOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import type { Profile } from "./profile.js";
import { withSteps } from "./rebuild.js";
import { planProblem } from "./replan.js";
import type { Run } from "./run.js";
import { samplesOf } from "./samples.js";

/** The largest batch that fits, and what its step takes. */
export interface FittedBatch {
  readonly batch: number;
  /** Size of the arena, bytes: exact. */
  readonly peakBytes: number;
  /** Time of the step, ms: estimated from the run's nodes, each scaled by its operations or bytes. */
  readonly estimatedMs: number;
}

/** What a run's model can be trained with in some memory. */
export interface Fit {
  /** The dimension that is the batch, and its size in the run. */
  readonly dim: string;
  readonly runBatch: number;
  readonly limitBytes: number;
  /** null where not even a batch of 1 fits. */
  readonly unplanned: FittedBatch | null;
  readonly planned: (FittedBatch & { readonly plan: Plan }) | null;
  /** Things that a user should know. */
  readonly notes: readonly string[];
}

/** How long a plan is searched for one batch of many; the last one gets the time that the options say. */
const probe = { timeLimitMs: 2000, moves: 3000 };

/**
 * The largest batches that a run's model can be trained with in `options.fit`, unplanned and planned: the step is built
 * anew from the model file for other sizes, in the form of the run's device, which is not needed. Memory is exact, times
 * are estimated. Throws one line for wrong options, a model that is missing or has changed, and a batch that cannot be
 * told from other dimensions. `onTry` is told of each batch before it is tried.
 */
export function fitRun(
  run: Run,
  options: OptionsOf<"plan"> & { readonly fit: string },
  onTry: (batch: number, isPlanned: boolean) => void = () => {},
): Fit {
  checkOptions("plan", options);
  const { bytes: limitBytes, dim: named } = parseFit(options.fit);
  const { model } = run;
  const dim = batchDim(model, named);
  const runBatch = own(model.dims, dim) as number;
  const { fit: _, ...rest } = withDefaults(options);
  return withSteps(run, (stepWith) => {
    const steps = new Map<number, Graph>();
    const stepAt = (batch: number): Graph => {
      const step = steps.get(batch) ?? stepWith({ dims: { ...model.dims, [dim]: batch } });
      steps.set(batch, step);
      return step;
    };
    const profileAt = (batch: number) => scaledProfile(run.before, stepAt(batch));
    const planAt = (batch: number, effort: { readonly timeLimitMs?: number; readonly moves?: number }): Plan => {
      const settings = { ...rest, budget: `${limitBytes}B` };
      const problem = planProblem(stepAt(batch), profileAt(batch), settings);
      return planGraph({ ...problem, effort: { ...problem.effort, ...effort }, planner: settings.planner });
    };
    const fits = (batch: number): boolean => {
      onTry(batch, false);
      return layout(stepAt(batch)).arenaBytes <= limitBytes;
    };
    const fitsPlanned = (batch: number): boolean => {
      onTry(batch, true);
      return planAt(batch, probe).feasible;
    };
    const unplanned = largest(fits, runBatch);
    const planned = largest((batch) => batch <= unplanned || fitsPlanned(batch), Math.max(1, unplanned));
    const told = (batch: number): FittedBatch => {
      const { arenaBytes, step } = profileAt(batch);
      return { batch, peakBytes: arenaBytes, estimatedMs: step.medianMs };
    };
    const built = layout(stepAt(runBatch)).arenaBytes;
    return {
      dim,
      runBatch,
      limitBytes,
      unplanned: unplanned ? told(unplanned) : null,
      planned: planned ? withPlan(told(planned), planned, planAt) : null,
      notes:
        built === run.before.arenaBytes
          ? []
          : [`the step built anew needs ${built} bytes at the run's batch, the run's ${run.before.arenaBytes}`],
    };
  });
}

/** A batch with its plan: the one that a longer search finds, or where that misses the one of the probe. */
function withPlan(
  told: FittedBatch,
  batch: number,
  planAt: (batch: number, effort: { readonly timeLimitMs?: number; readonly moves?: number }) => Plan,
): FittedBatch & { readonly plan: Plan } {
  const long = planAt(batch, {});
  const plan = long.feasible ? long : planAt(batch, probe);
  return { ...told, peakBytes: plan.peakBytes, estimatedMs: told.estimatedMs + plan.addedMs, plan };
}

/** A profile of the same step at another batch, its times estimated from those measured: each scaled by its work. */
export function scaledProfile(before: Profile, graph: Graph) {
  const none = samplesOf([0]);
  const { nodes } = tables(
    graph,
    graph.nodes.map(() => none),
    null,
    before.copies,
    true,
  );
  const rows = new Map(before.nodes.map((row) => [row.name, row]));
  const workOf = ({ flops, inputBytes, outputBytes }: NodeRow): number => flops || inputBytes + outputBytes;
  const times = nodes.map((row) => {
    const known = rows.get(row.name);
    const work = known ? workOf(known) : 0;
    return samplesOf([known && work ? (known.time.medianMs * workOf(row)) / work : (known?.time.medianMs ?? 0)]);
  });
  const derived = tables(graph, times, null, before.copies, true);
  const arenaBytes = layout(graph).arenaBytes;
  // copies are estimated where the run has measured some
  const estimated = before.copies?.length ? (true as const) : undefined;
  return { ...derived, estimated, arenaBytes, step: { medianMs: derived.nodesMs } };
}
