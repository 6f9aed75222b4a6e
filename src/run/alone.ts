import type { Graph } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import { timeline } from "../memory/liveness.js";
import { parseHostMemory } from "../plan/budget.js";
import type { Plan, PlanProblem } from "../plan/plan.js";
import { decisionOf } from "../plan/planners/in-turn.js";
import { planGraph } from "../plan/planners/index.js";
import { rewrite } from "../plan/rewrite.js";
import { stateOptions, waitedStates } from "../plan/state-options.js";
import { pinnableBytes } from "../runtime/host-memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { together } from "../step/together.js";
import { executes } from "./build-step.js";
import type { BuiltTrial } from "./build-trials.js";
import { largest } from "./largest.js";
import { withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import type { Profile } from "./profile.js";
import { measureBuilt } from "./profile-built.js";
import { planProblem } from "./replan.js";
import type { FitCount } from "./together.js";

/** Several models that are profiled in one step: what all parts of that need. */
export interface Scene {
  readonly runtime: Runtime;
  readonly options: ProfileModelOptions;
  readonly trials: readonly BuiltTrial[];
  /** The memory that a step may take, bytes. */
  readonly limitBytes: number;
}

/** A model's own step, measured. */
export interface Alone {
  /** As it is executed; of trials of one kind that of the first. */
  readonly graph: Graph;
  readonly profile: Profile;
  readonly residentBytes: number;
  /** What of that can be on the host while other models run, bytes. */
  readonly stateBytes: number;
  /** The plan of the least memory that was found; undefined where memory has no limit. */
  readonly least: Plan | undefined;
}

/** What decides which nodes a model's step has: trials of one kind take the same time. */
export const kindOf = ({ spec: { file, options } }: BuiltTrial): string =>
  JSON.stringify([file, { ...options, optimizer: options.optimizer.split(":")[0] }]);

/** Options without those that ask for a plan. */
export function withoutPlan(options: ProfileModelOptions): ProfileModelOptions {
  const { planner: _planner, budget: _budget, maxSlowdown: _slowdown, ...unplanned } = options;
  return unplanned;
}

/** Every model's own step: of each kind one is measured. */
export async function eachAlone({ runtime, options, trials, limitBytes }: Scene): Promise<Alone[]> {
  const known = new Map<string, Alone>();
  for (const trial of trials) {
    const kind = kindOf(trial);
    if (known.has(kind)) continue;
    const { baseline } = trial;
    const values = new Map(trial.values());
    const { before } = await measureBuilt({ baseline, values }, runtime, withoutPlan(options));
    // what cannot fit is taken as low as the planners that take no search can
    const settings = { ...withDefaults(options), maxSlowdown: undefined, planner: "mutwo", budget: "1B" };
    const problem = planProblem(baseline, before, settings);
    known.set(kind, {
      graph: baseline,
      profile: before,
      residentBytes: timeline(baseline).residentBytes,
      stateBytes: sum(stateOptions(problem, true).map(({ bytes }) => bytes)),
      least: Number.isFinite(limitBytes) ? leastOf(problem, settings.planner) : undefined,
    });
  }
  return trials.map((trial) => known.get(kindOf(trial)) as Alone);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/**
 * The time of each model's own step, ms, measured once more: what is measured first is measured on a device and a process
 * that are cold, and would make all that comes after look better than it is. The lower of both counts.
 */
export async function warmMs({ runtime, options, trials }: Scene, alone: readonly Alone[]): Promise<number[]> {
  const known = new Map<string, number>();
  for (const [i, trial] of trials.entries()) {
    const kind = kindOf(trial);
    const { profile, graph } = alone[i] as Alone;
    if (known.has(kind)) continue;
    const coldMs = profile.step.medianMs;
    if (!executes(runtime)) known.set(kind, coldMs);
    else {
      const measured = { baseline: graph, values: new Map(trial.values()) };
      const { before } = await measureBuilt(measured, runtime, withoutPlan(options));
      known.set(kind, Math.min(coldMs, before.step.medianMs));
    }
  }
  return trials.map((trial) => known.get(kindOf(trial)) as number);
}

/** The plan that reaches the least memory, of a planner or of those that take no search. */
function leastOf(problem: PlanProblem, planner: string): Plan {
  const plan = planGraph({ ...problem, planner });
  const { minimumPlanner, minimumPeakBytes } = plan;
  return minimumPlanner ? planGraph({ ...problem, planner: minimumPlanner, budgetBytes: minimumPeakBytes }) : plan;
}

/** Of so many models the guess is nearly what fits. */
const closeGuess = 50;

/** A joint step of more nodes is not laid out: at least as many models as it has fit, then. */
const mostNodes = 100_000;

/**
 * How many models fit, the asked ones again and again in their order: all at once without a plan, and one after the other in
 * one step, each with the least plan, states on the host while others run if they may be; that step is laid out. null
 * without a limit.
 */
export function fitCount({ runtime, limitBytes, options }: Scene, alone: readonly Alone[]): FitCount | null {
  if (!Number.isFinite(limitBytes)) return null;
  const most = (needed: (model: Alone) => number): number => {
    for (let count = 0; ; count++) {
      const model = alone[count % alone.length] as Alone;
      if (needed(model) > limitBytes || count > 100_000) return count;
    }
  };
  let peaks = 0;
  const unplanned = most(({ profile }) => (peaks += profile.arenaBytes));
  const hostBytes = options.hostMemory === undefined ? pinnableOf(runtime) : parseHostMemory(options.hostMemory);
  let [residents, between, onHost, hosted] = [0, 0, 0, 0];
  let planned = most(({ residentBytes, stateBytes, least, profile }) => {
    const isHosted = stateBytes > 0 && onHost + stateBytes <= hostBytes;
    if (isHosted) [onHost, hosted] = [onHost + stateBytes, hosted + 1];
    const stays = residentBytes - (isHosted ? stateBytes : 0);
    residents += stays;
    between = Math.max(between, (least?.minimumPeakBytes ?? profile.arenaBytes) - stays);
    return residents + between;
  });
  const meanNodes = sum(alone.map(({ graph }) => graph.nodes.length)) / alone.length;
  const guess = Math.min(planned, Math.max(1, Math.floor(mostNodes / meanNodes)));
  const isCut = guess < planned;
  const holds = (count: number): boolean =>
    count <= guess && (count === 1 || fits(runtime, alone, count, hosted, limitBytes));
  // layouts waste a little, of many models more
  if (guess <= closeGuess) planned = largest(holds, guess, 1);
  else planned = holds(guess) ? guess : largest(holds, closeGuess);
  const isMore = isCut && planned === guess;
  // what fits at once fits in turn
  planned = Math.max(planned, unplanned);
  const there = Array.from({ length: Math.min(planned, hosted) }, (_, i) => alone[i % alone.length]?.stateBytes ?? 0);
  return {
    limitBytes,
    unplanned,
    planned,
    ...(isMore && { atLeast: true as const }),
    ...(hosted ? { hostBytes: sum(there) } : {}),
  };
}

/** Host memory that can be had for what leaves the device, bytes. */
const pinnableOf = (runtime: Runtime): number => (runtime.freeBytes ? pinnableBytes() : Number.POSITIVE_INFINITY);

/** Whether so many models in turn, the states of so many on the host, fit with the least plan of each. */
function fits(runtime: Runtime, alone: readonly Alone[], count: number, hosted: number, limitBytes: number): boolean {
  const members = Array.from({ length: count }, (_, i) => ({ name: `m${i}`, ...(alone[i % alone.length] as Alone) }));
  const joint = together(runtime, members, 1);
  const decisions = members.flatMap(({ name, least }) =>
    (least?.decisions ?? []).map((one) => decisionOf(one, "", `${name}/`)),
  );
  const isHosted = new Set(members.flatMap(({ name, stateBytes }, i) => (stateBytes && i < hosted ? [name] : [])));
  const states = waitedStates(
    joint,
    stateOptions({ graph: joint, nodeMs: joint.nodes.map(() => 1), rows: [] }, true),
  ).filter(({ state }) => isHosted.has(state.slice(0, state.indexOf("/"))));
  return layout(rewrite(joint, decisions, states)).arenaBytes <= limitBytes;
}
