import type { Graph } from "../graph/graph.js";
import { executedGraph } from "../plan/executed.js";
import { capacityOf, laneTime } from "../plan/lane-time.js";
import { together } from "../step/together.js";
import { type Alone, type Scene, withoutPlan } from "./alone.js";
import type { JointStep } from "./arrange.js";
import { executes } from "./build-step.js";
import { jointValues } from "./build-trials.js";
import { pairOf, timesOf } from "./lane-capacity.js";
import { measureBuilt, type PlannedStep } from "./profile-built.js";
import type { Run } from "./run.js";
import type { Arranged } from "./together.js";

/** A joint step that was measured, and planned if that was asked for. */
export interface Candidate extends PlannedStep {
  readonly joint: JointStep;
  readonly values: Map<string, Uint8Array>;
  /** The unplanned step's time in the order in which it is executed, if that is not the one of `before`, ms. */
  readonly plain?: {
    readonly measuredMs: number;
    /** Of the one that is executed, ms: forward phases may begin later than in the one that was measured. */
    readonly expectedMs: number;
    /** Without a plan the one that was measured is the one that is executed. */
    readonly isExecuted: boolean;
  };
}

/** A predicted time, ms, and in words what it was predicted from. */
export interface Prediction {
  readonly ms: number;
  readonly basis: string;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** The time that a candidate's step takes, as measured or else as expected, ms: Infinity where its plan does not fit. */
export function expectedMs({ before, after, plan, plain }: Candidate): number {
  if (plan && !plan.feasible) return Number.POSITIVE_INFINITY;
  return after?.step.medianMs ?? (plain?.expectedMs ?? before.step.medianMs) + (plan?.addedMs ?? 0);
}

/**
 * What a candidate's step takes as predicted before it runs; null where nothing predicts it. Never from the time of that
 * very step.
 */
export async function predict(candidate: Candidate, scene: Scene, alone: readonly Alone[]): Promise<Prediction | null> {
  const { joint, before, plan, plain } = candidate;
  const { lanes, arrangement } = joint;
  if (plan && !plan.feasible) return null;
  if (before.estimated) {
    const ms = (plain?.expectedMs ?? before.step.medianMs) + (plan?.addedMs ?? 0);
    return { ms, basis: "times estimated from a description of the device" };
  }
  if (plan && (plan.decisions.length || (arrangement === "multiplexed" && lanes === 1))) {
    const ms = (plain?.expectedMs ?? before.step.medianMs) + plan.addedMs;
    return { ms, basis: "the step without the plan, as measured, and what the plan adds" };
  }
  if (before.offloaded) return null;
  if (plan && plain && !plain.isExecuted)
    return { ms: plain.expectedMs, basis: "the step with forward phases that begin earlier, as measured" };
  if (lanes > 1) return inLanes(candidate, scene);
  const aloneMs = sum(alone.map(({ profile }) => profile.step.medianMs));
  if (arrangement === "side-by-side") return { ms: aloneMs, basis: "each model's own step, as measured" };
  const nodesMs = sum(alone.map(({ profile }) => profile.nodesMs));
  const ms = nodesMs > 0 ? (before.nodesMs * aloneMs) / nodesMs : before.nodesMs;
  return { ms, basis: "the sum of its nodes' times, by what the lone steps take of theirs" };
}

/**
 * A step whose lanes run side by side, from what other lanes get done at a time: half as many of it, of two those of the
 * multiplexed step of the same models, of which each runs beside another part of the other.
 */
async function inLanes(candidate: Candidate, scene: Scene): Promise<Prediction | null> {
  const { runtime, options, trials } = scene;
  if (!executes(runtime)) return null;
  const { joint, before, plan } = candidate;
  const { members, lanes } = joint;
  const { graph } = plan ? executedGraph(joint.graph, plan) : joint;
  const msOf = timesOf(
    joint.graph,
    before.nodes.map(({ time }) => time.medianMs),
  );
  const predicted = (capacity: number, basis: string): Prediction => ({
    ms: laneTime(graph, msOf, capacity).totalMs,
    basis,
  });
  const measured = async (part: Graph): Promise<number> => {
    const values = jointValues(runtime, part, trials);
    const { before: of } = await measureBuilt({ baseline: part, values }, runtime, withoutPlan(options));
    return capacityOf(
      part,
      of.nodes.map(({ time }) => time.medianMs),
      of.step.medianMs,
    );
  };
  if (plan && members.length > 2) {
    const two = together(runtime, members.slice(0, 2));
    const names = members.slice(0, 2).map(({ name }) => name);
    const pair = await pairOf(scene, { graph: two, nodeMs: two.nodes.map(msOf), members: names });
    return pair ? predicted(pair.capacity, "its nodes' times, and what two models of it get done at a time") : null;
  }
  if (plan)
    return predicted(
      await measured(together(runtime, members, 2)),
      "its nodes' times, and what two lanes get done in another order",
    );
  const fewer = Math.max(2, Math.floor(lanes / 2));
  if (fewer === lanes) {
    const turns = together(runtime, members);
    const nodeMs = turns.nodes.map(msOf);
    const pair = await pairOf(scene, { graph: turns, nodeMs, members: members.map(({ name }) => name) });
    return pair ? predicted(pair.capacity, "its nodes' times, and what two lanes get done in another order") : null;
  }
  const some = members.filter((_, i) => i % lanes < fewer);
  const capacity = await measured(together(runtime, some, fewer));
  return predicted(
    moreLanes(capacity, fewer, lanes),
    `its nodes' times, and what ${fewer} lanes of it get done at a time`,
  );
}

/**
 * What more lanes get done at a time, from what so many do: the share of work that runs beside other work is the same
 * (Amdahl's law).
 */
export function moreLanes(capacity: number, lanes: number, more: number): number {
  const share = Math.min(1, Math.max(0, (1 - 1 / capacity) / (1 - 1 / lanes)));
  return 1 / (1 - share + share / more);
}

/** What a run says of a candidate; `run` is the executed one's. */
export function arrangedOf(candidate: Candidate, predicted: Prediction | null, run: Run | null): Arranged {
  const { joint, before, plan, plain, after } = candidate;
  const { arrangement, subArrays, lanes } = joint;
  const isMeasured = !before.estimated && !before.offloaded;
  const planned = run?.paired?.planned ?? run?.after?.step ?? after?.step;
  const isFeasible = plan?.feasible === true;
  // what keeps everything is the step that was measured without a plan
  const isPlain = isFeasible && !plan.decisions.length && !plan.states?.length && !plan.ring;
  const plainMs = isMeasured ? before.step.medianMs : null;
  return {
    arrangement,
    subArrays,
    lanes,
    peakBytes: before.arenaBytes,
    plannedPeakBytes: plan && isFeasible ? plan.peakBytes : null,
    unplannedMs: isMeasured ? (plain?.measuredMs ?? before.step.medianMs) : null,
    addedMs: plan && isFeasible ? plan.addedMs : null,
    predictedMs: predicted?.ms ?? null,
    measuredMs: plan ? (planned?.medianMs ?? (isPlain ? plainMs : null)) : plainMs,
    ...(run && { executed: true as const }),
    ...(predicted && { basis: predicted.basis }),
  };
}
