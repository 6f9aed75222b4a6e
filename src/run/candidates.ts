import { setImmediate } from "node:timers/promises";
import { executedGraph } from "../plan/executed.js";
import type { Alone, Scene } from "./alone.js";
import { inTurn, isInTurn, type JointStep } from "./arrange.js";
import { executes } from "./build-step.js";
import { jointValues } from "./build-trials.js";
import { type Candidate, expectedMs } from "./candidate.js";
import { fusedAgain } from "./fused-again.js";
import { type MultiplexedStep, multiplexedStep, ringPlan } from "./multiplexed.js";
import { withDefaults } from "./option-forms.js";
import type { Profile } from "./profile.js";
import { measureBuilt, measurePlanned, planMeasured } from "./profile-built.js";
import { asksForPlan } from "./replan.js";
import type { PartitionRow } from "./together.js";

/** Several models, and the ways of putting them into one step. */
export interface Asked extends Scene {
  /** All ways but the multiplexed one. */
  readonly joints: readonly JointStep[];
  /** The budget of all plans; null without one. */
  readonly budgetBytes: number | null;
}

/** Planners that search for long: what they plan, μ-TWO's own has planned before, which takes no time. */
const searching: ReadonlySet<string> = new Set(["best", "optimal", "checkmate"]);

const canFit = (candidate: Candidate): boolean => expectedMs(candidate) < Number.POSITIVE_INFINITY;

/** All ways that are asked for, measured and planned; under a budget also one model after the other. */
export async function candidatesOf(
  scene: Asked,
  alone: readonly Alone[],
): Promise<{ readonly candidates: readonly Candidate[]; readonly partitions?: readonly PartitionRow[] }> {
  const { runtime, options, trials, joints, budgetBytes } = scene;
  const { arrange = "best" } = options;
  const candidates: Candidate[] = [];
  const isMany = trials.length > 1;
  for (const [i, joint] of joints.entries()) {
    await nextTurn(options, `way ${i + 1} of ${joints.length}`);
    const candidate = await candidateOf(joint, scene);
    const again = fusedAgain(candidate, scene, alone);
    candidates.push(candidate, ...(again ? [await candidateOf(again, scene)] : []));
  }
  const isWanted = arrange === "multiplexed" || (arrange === "best" && asksForPlan(options));
  await nextTurn(options);
  const rings = isWanted && isMany ? await multiplexedStep(scene, alone, budgetBytes) : undefined;
  if (rings?.step) candidates.push(await multiplexedOf(rings.step, scene));
  // in turn they take the least memory: a budget may leave nothing else, or nothing that is faster
  const isOpen = arrange === "best" ? budgetBytes !== null : !candidates.some(canFit);
  if (isOpen && !candidates.some(({ joint }) => isInTurn(joint)))
    candidates.push(await candidateOf(inTurn(runtime, trials), scene));
  await nextTurn(options);
  return { candidates: refined(candidates, scene), ...(rings && { partitions: rings.partitions }) };
}

/** Lets a signal come through, of which plans know nothing, and tells what comes next. */
async function nextTurn({ signal, onProgress }: Scene["options"], stage?: string): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
  if (stage !== undefined) onProgress?.(stage, 0, 1);
}

/** A joint step, measured and planned by a planner that takes no time. */
async function candidateOf(joint: JointStep, { runtime, options, trials }: Scene): Promise<Candidate> {
  const values = jointValues(runtime, joint.graph, trials);
  const measured = await measureBuilt({ baseline: joint.graph, values }, runtime, options);
  const { planner } = withDefaults(options);
  const quick = asksForPlan(options) && searching.has(planner) ? { ...options, planner: "mutwo" } : options;
  return { joint, values, ...measured, plan: planMeasured(joint.graph, measured, quick) };
}

/** A multiplexed step, of which the joint step in turn is measured. */
async function multiplexedOf(
  step: MultiplexedStep,
  { runtime, options, trials, budgetBytes }: Asked,
): Promise<Candidate> {
  const { joint, found, plain } = step;
  const values = jointValues(runtime, joint.graph, trials);
  const measured = await measureBuilt({ baseline: joint.graph, values }, runtime, options);
  const plan = ringPlan(step, measured.before, budgetBytes);
  if (!plain) return { joint, values, ...measured, plan };
  const { measuredMs, simulatedMs } = plain;
  // forward phases may begin later than in the step that was measured
  const unplannedMs = measuredMs + found.stepMs - found.addedMs - simulatedMs;
  const isExecuted = found.lag === 0;
  return { joint, values, ...measured, plan, plain: { measuredMs, expectedMs: unplannedMs, isExecuted } };
}

/** A better plan may make a step so many times as fast as the one that there is: one of a longer search. */
const worthSearching = 1.3;

/**
 * The candidates, of which those that may be the fastest are planned by the planner that is asked for; the one that comes
 * closest to the budget, where none fits.
 */
function refined(candidates: readonly Candidate[], { options }: Asked): Candidate[] {
  if (!searching.has(withDefaults(options).planner)) return [...candidates];
  const best = fastest(candidates);
  return candidates.map((one): Candidate => {
    const { plan, before, joint } = one;
    // the multiplexed step was planned by it already
    if (!plan || plan.ring || (plan.feasible && !plan.decisions.length)) return one;
    const isFaster = before.step.medianMs < expectedMs(best) && expectedMs(one) <= worthSearching * expectedMs(best);
    if (one !== best && !isFaster) return one;
    const longer = planMeasured(joint.graph, one, options);
    return longer && (longer.feasible || !plan.feasible) ? { ...one, plan: longer } : one;
  });
}

const leastBytes = ({ plan, before }: Candidate): number => plan?.minimumPeakBytes ?? before.arenaBytes;

/** Multiplexed steps are so much faster than others, or are not worth what they need: a batch a step before, and noise. */
const worthMultiplexing = 1.02;

const weightOf = ({ joint }: Candidate): number => (joint.arrangement === "multiplexed" ? worthMultiplexing : 1);

const isKept = ({ plan }: Candidate): boolean => !plan?.decisions.length && !plan?.states?.length;

const arraysOf = ({ joint }: Candidate): string => JSON.stringify(joint.subArrays.map((names) => names.join()).sort());

/** Whether a multiplexed step has nothing to hide and nowhere to hide it: it is another one, that fits, in another order. */
const isReordered = (one: Candidate, all: readonly Candidate[]): boolean =>
  one.joint.arrangement === "multiplexed" &&
  one.joint.lanes === 1 &&
  isKept(one) &&
  all.some((other) => other !== one && canFit(other) && isKept(other) && arraysOf(other) === arraysOf(one));

/** The fastest that fits; where none does, the one that comes closest to it. */
export const fastest = (candidates: readonly Candidate[]): Candidate =>
  candidates
    .filter((one) => !isReordered(one, candidates))
    .reduce((best, one) => {
      if (!canFit(best) && !canFit(one)) return leastBytes(one) < leastBytes(best) ? one : best;
      return weightOf(one) * expectedMs(one) < weightOf(best) * expectedMs(best) ? one : best;
    });

/** A planned step that is expected to take so many times as long as the fastest is not executed. */
const closeEnough = 1.1;

/**
 * The candidates, of which those plans are executed that may be the fastest, and the multiplexed one. What is about as fast
 * as the fastest is measured once more, the last first.
 */
export async function executedOf(
  candidates: readonly Candidate[],
  scene: Pick<Scene, "runtime" | "options">,
): Promise<Candidate[]> {
  const { runtime, options } = scene;
  const mostMs = closeEnough * expectedMs(fastest(candidates));
  const all: Candidate[] = [];
  for (const one of candidates) {
    const { plan, joint, values } = one;
    const isTried = expectedMs(one) <= mostMs || joint.arrangement === "multiplexed";
    if (!plan?.feasible || !isTried || runtime.backend === "estimate") all.push(one);
    else all.push({ ...one, after: await measurePlanned(executedGraph(joint.graph, plan), runtime, values, options) });
  }
  const nearMs = closeEnough * expectedMs(fastest(all));
  const near = all.filter((one) => expectedMs(one) <= nearMs && !one.before.offloaded);
  if (near.length < 2 || !executes(runtime)) return all;
  const again = new Map<Candidate, Candidate>();
  for (const one of near.reverse()) again.set(one, await measuredAgain(one, scene));
  return all.map((one) => again.get(one) ?? one);
}

/** A candidate at the lower of two times: on a device that others use too the first may be far too long. */
async function measuredAgain(
  one: Candidate,
  { runtime, options }: Pick<Scene, "runtime" | "options">,
): Promise<Candidate> {
  const { joint, values, plan, after, before } = one;
  const lower = (a: Profile, z: Profile): Profile => (z.step.medianMs < a.step.medianMs ? z : a);
  if (plan && after)
    return {
      ...one,
      after: lower(after, await measurePlanned(executedGraph(joint.graph, plan), runtime, values, options)),
    };
  const again = await measureBuilt({ baseline: joint.graph, values }, runtime, options);
  return { ...one, before: lower(before, again.before) };
}
