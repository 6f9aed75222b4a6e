import { sliceName } from "../graph/names.js";
import { slices } from "../plan/sliced-update.js";
import type { Run } from "./run.js";

/** The time of one copy between device and host of everything that a run's plan may have there, ms, by name. */
export const copyTimes = ({ before, plan }: Pick<Run, "before" | "plan">): ReadonlyMap<string, number> =>
  new Map([
    ...(plan?.states ?? []).flatMap(({ state, swapMs, sliced }): [string, number][] =>
      sliced ? Array.from({ length: slices }, (_, i) => [sliceName(state, i + 1), swapMs / slices]) : [[state, swapMs]],
    ),
    ...before.activations.map(({ name, swapMs }) => [name, swapMs] as const),
  ]);
