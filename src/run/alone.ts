import type { Graph } from "../graph/graph.js";
import { timeline } from "../memory/liveness.js";
import type { Runtime } from "../runtime/runtime.js";
import type { BuiltTrial } from "./build-trials.js";
import { withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import type { Profile } from "./profile.js";
import { measureBuilt } from "./profile-built.js";
import { makePlan } from "./replan.js";
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
  /** The least that a plan found so far reaches. */
  readonly leastBytes: number;
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
    const settings = {
      ...withDefaults(options),
      maxSlowdown: undefined,
      planner: "best",
      budget: "1B",
      moves: 2000,
      timeLimit: 5,
    };
    known.set(kind, {
      graph: baseline,
      profile: before,
      residentBytes: timeline(baseline).residentBytes,
      leastBytes: Number.isFinite(limitBytes)
        ? makePlan(baseline, before, settings).minimumPeakBytes
        : before.arenaBytes,
    });
  }
  return trials.map((trial) => known.get(kindOf(trial)) as Alone);
}

/**
 * How many models fit, the asked ones again and again in their order: all at once without a plan, and one after the other in
 * one step, each planned, with everything that lives through a step there for all. null without a limit.
 */
export function fitCount(alone: readonly Alone[], limitBytes: number): FitCount | null {
  if (!Number.isFinite(limitBytes)) return null;
  const most = (needed: (models: readonly Alone[]) => number): number => {
    const models: Alone[] = [];
    for (;;) {
      models.push(alone[models.length % alone.length] as Alone);
      if (needed(models) > limitBytes || models.length > 100_000) return models.length - 1;
    }
  };
  let [peaks, residents, between] = [0, 0, 0];
  const unplanned = most((models) => (peaks += models.at(-1)?.profile.arenaBytes ?? 0));
  const planned = most((models) => {
    const { residentBytes, leastBytes } = models.at(-1) as Alone;
    residents += residentBytes;
    between = Math.max(between, leastBytes - residentBytes);
    return residents + between;
  });
  return { limitBytes, unplanned, planned };
}
