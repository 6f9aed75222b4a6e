import type { Run } from "./run.js";

/** The time of one copy between device and host of everything that a run's plan may have there, ms, by name. */
export const copyTimes = ({ before, plan }: Pick<Run, "before" | "plan">): ReadonlyMap<string, number> =>
  new Map([
    ...(plan?.states ?? []).map(({ state, swapMs }) => [state, swapMs] as const),
    ...before.activations.map(({ name, swapMs }) => [name, swapMs] as const),
  ]);
