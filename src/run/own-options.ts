import type { Plan } from "../plan/plan.js";
import { commandOf, modelOptions } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import type { Profile } from "./profile.js";
import type { Run } from "./run.js";

/** Options as words of a command line. */
export const flagsOf = (changed: Partial<OptionsOf<"profile">>): string =>
  commandOf("profile", "", changed as OptionsOf<"profile">).replace(/^mutwo profile '' /, "");

/** The options that profile the run's model again, and plan it again if it was planned. */
export function ownOptions({ model, before, plan, command }: Run): OptionsOf<"profile"> {
  const [, quoted, plain] = /--device-spec (?:'([^']*)'|(\S+))/.exec(command) ?? [];
  const deviceSpec = quoted ?? plain;
  const device =
    before.backend === "estimate"
      ? { backend: "estimate", ...(deviceSpec === undefined ? {} : { deviceSpec }) }
      : before.backend === "cpu"
        ? {}
        : { backend: "cuda" };
  return { ...modelOptions(model), ...device, ...(plan ? planOptionsOf(plan, before) : {}) };
}

/** The options that ask for a plan like that. */
function planOptionsOf({ budgetBytes, planner, variant, constraints = {} }: Plan, { step, backend }: Profile) {
  const { keep, swap, recompute, hostBytes, maxAddedMs } = constraints;
  return {
    ...(budgetBytes === null ? {} : { budget: `${budgetBytes}B` }),
    ...(planner === "best" ? {} : { planner }),
    ...(variant === "printed" ? { variant } : {}),
    ...(maxAddedMs === undefined
      ? {}
      : { maxSlowdown: `${Number(((100 * maxAddedMs) / step.medianMs).toPrecision(6))}%` }),
    ...(keep ? { keep } : {}),
    // on the CPU nothing is swapped unless asked for
    ...(swap === undefined || backend === "cpu" ? {} : { swap }),
    ...(recompute === undefined ? {} : { recompute }),
    ...(hostBytes === undefined ? {} : { hostMemory: `${hostBytes}B` }),
  };
}
