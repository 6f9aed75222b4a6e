import { formatBytes, formatBytesBeside, formatMs, formatPercent } from "../format.js";
import type { Plan } from "../plan/plan.js";
import { type Lever, levers } from "../run/levers.js";
import type { Profile } from "../run/profile.js";
import { roomBytes } from "../run/room.js";
import type { Equality, Run } from "../run/run.js";
import { kneeOf, leastPeakOf, type TradeoffPoint } from "../run/tradeoff.js";
import { stateBytes, statesLine } from "./states.js";
import { answerLine } from "./together.js";

/** One line for a budget that cannot be met. */
export const infeasibleLine = (plan: Plan): string =>
  `infeasible budget: ${formatBytesBeside(plan.budgetBytes ?? 0, plan.minimumPeakBytes)}; the least reachable peak is ${formatBytesBeside(plan.minimumPeakBytes, plan.budgetBytes ?? 0)} (planner ${plan.minimumPlanner ?? plan.planner})`;

/** A lever in a line, without its command: `half the batch (--dim batch=4): 1.2 GiB, 0.9 GiB less (estimated)`. */
export function leverLine({ what, flags, peakBytes, gainBytes, addedMs, fits, note }: Lever): string {
  const time = addedMs === null ? "" : `, ${formatMs(Math.abs(addedMs))} ${addedMs < 0 ? "less" : "more"} time`;
  const size =
    peakBytes === null || gainBytes === null
      ? "not estimated"
      : `about ${formatBytes(peakBytes)}, ${formatBytes(gainBytes)} less${time} (estimated${fits ? ", within the budget" : ""})`;
  return `${what} (${flags}): ${size}${note && `; ${note}`}`;
}

/** What would lower a run's peak, or the least reachable one, each in a line. */
export const helps = (run: Run): string[] => levers(run).map(leverLine);

/** What a plan was not allowed to do; empty without constraints. */
export function constraintsLine({ constraints = {} }: Plan): string {
  const { keep, swap, recompute, hostBytes, maxAddedMs } = constraints;
  return [
    ...(keep ? [`${keep.length} kept as asked`] : []),
    ...(swap === false ? ["no swaps"] : []),
    ...(recompute === false ? ["no recomputation"] : []),
    ...(hostBytes === undefined ? [] : [`${formatBytes(hostBytes)} of host memory at most`]),
    ...(maxAddedMs === undefined ? [] : [`${formatMs(maxAddedMs)} more time at most`]),
  ].join(", ");
}

/** What was allocated for a step's values, or why nothing was. */
export const allocated = (profile: Profile): string =>
  profile.offloaded
    ? "does not fit"
    : ["replay", "estimate", "tables"].includes(profile.backend)
      ? `not executed (${profile.backend})`
      : formatBytes(profile.allocatedBytes);

/** The mark of a time that was not measured but estimated; empty for others. */
export const estimatedMark = ({ estimated }: Pick<Profile, "estimated">): string => (estimated ? " (estimated)" : "");

/** A step's estimated time; undefined where it was measured. */
export const estimatedTime = (profile: Profile): string | undefined =>
  profile.estimated && `${formatMs(profile.step.medianMs)}${estimatedMark(profile)}`;

/** The mark of a time that a recording holds; empty for others. */
export const recordedMark = ({ backend }: Pick<Profile, "backend">): string =>
  backend === "replay" ? " (recorded)" : "";

/** A step's median time and spread, or why there is none. */
export const stepTime = (profile: Profile): string =>
  profile.offloaded
    ? "does not fit"
    : profile.estimated
      ? "not executed (estimate)"
      : `${formatMs(profile.step.medianMs)}${profile.simulated ? " (simulated)" : ` ± ${formatMs(profile.step.spreadMs)}${recordedMark(profile)}`}`;

/** Where a step's time comes from, in a word. */
const timeSource = (profile: Profile): string =>
  profile.estimated
    ? "estimated"
    : profile.offloaded || profile.simulated
      ? "simulated: the sum of its nodes"
      : profile.backend === "replay"
        ? "recorded"
        : profile.backend === "tables"
          ? "of the tables"
          : `measured, median of ${profile.iterations}`;

/** The one time of a step that a report shows first, with what it is: both steps' where both ran in turn. */
export function stepShown({ before, plan, paired }: Run): { label: string; value: string; detail: string } {
  if (paired)
    return {
      label: "step time, unplanned to planned",
      value: `${formatMs(paired.unplanned.medianMs)} → ${formatMs(paired.planned.medianMs)}`,
      detail: "measured in turn, medians",
    };
  const now = formatMs(before.step.medianMs);
  if (!plan?.feasible) return { label: "step time", value: now, detail: timeSource(before) };
  return {
    label: "step time, unplanned to planned",
    value: `${now} → ${formatMs(before.step.medianMs + plan.addedMs)}`,
    detail: `${timeSource(before)}; planned: ${before.estimated ? "estimated" : "predicted"}`,
  };
}

/** Sum of the nodes' times with how far it is from the whole step. */
export const nodesSum = (profile: Profile): string => {
  const share = profile.nodesMs / profile.step.medianMs - 1;
  if (profile.estimated) return `${formatMs(profile.nodesMs)}${estimatedMark(profile)}`;
  return `${formatMs(profile.nodesMs)} (${share >= 0 ? "+" : "−"}${formatPercent(Math.abs(share))})`;
};

/** A relative difference. */
const errorText = (error: number | null): string => error?.toExponential(1) ?? "what is not finite";

/** How the planned step's results compare with the unplanned one's. */
export function equalityLine({ compared, different, bitwise, worstRelativeError, ...more }: Equality): string {
  const { runToRun, deterministic, unstable = [] } = more;
  const how = deterministic && runToRun !== null ? " under deterministic kernels" : "";
  const varies = runToRun === 0 ? "not from run to run" : `by ${errorText(runToRun)} from run to run`;
  const timed = how && `; with the kernels that were timed the unplanned step differs ${varies}`;
  if (different.length) return `${different.length} of ${compared} tensors differ${how}${timed}`;
  if (bitwise !== false) return `${compared} tensors are equal bit by bit${how}${timed}`;
  if (!deterministic)
    return `${compared} tensors are equal within ${errorText(worstRelativeError)}; two runs of the unplanned step differ by ${errorText(runToRun ?? 0)}`;
  return `${compared - unstable.length} of ${compared} tensors are equal bit by bit${how}, the others, which no kernel computes the same each time, within ${errorText(worstRelativeError)}${timed}`;
}

/** How many activations are recomputed, swapped and kept, and which states are on the host. */
export function decisionCounts(plan: Plan): string {
  const recomputed = plan.decisions.filter(({ action }) => action === "recompute").length;
  const swapped = plan.decisions.length - recomputed;
  const host = formatBytes(Math.max(0, (plan.hostBytes ?? 0) - stateBytes(plan)));
  const swaps = swapped ? [`${swapped} swapped (${host} on the host)`] : [];
  const states = statesLine(plan);
  return [
    ...(recomputed || !swapped ? [`${recomputed} recomputed`] : []),
    ...swaps,
    `${plan.kept} kept`,
    ...(states ? [states] : []),
  ].join(", ");
}

/** Says so where the plan's added time is estimated, or counts copies that nobody measured; empty elsewhere. */
export function copiesNote({ plan, before }: Run): string {
  if (before.estimated) return estimatedMark(before);
  const swapped = new Set(plan?.decisions.flatMap((d) => (d.action === "swap" ? [d.activation] : [])));
  const isSimulated = before.activations.some(({ name, swapMeasured }) => swapped.has(name) && !swapMeasured);
  return isSimulated ? " (copies simulated, beside the nodes)" : "";
}

/** What is proven of a plan's time: the least that any plan of its kind adds. Empty where nothing is. */
export function boundSentence({ before }: Run, { bound }: Plan): string {
  // a bound of 0 is one of every plan
  if (!bound?.addedMs) return "";
  const share = formatPercent(bound.addedMs / before.step.medianMs);
  const how = before.estimated ? "estimated" : "predicted";
  return `no plan of this kind needs less than ${share} (${how})${bound.proven ? "" : ", as far as was proven in the time for it"}`;
}

/** What a plan costs in time: measured if it was executed, and then only as far as the noise lets one say. */
function timeCost({ before, paired }: Run, plan: Plan): string {
  if (!paired)
    return `${formatPercent(plan.addedMs / before.step.medianMs)} more time (${before.estimated ? "estimated" : "predicted"})`;
  const { unplanned, planned } = paired;
  const slower = planned.medianMs / unplanned.medianMs - 1;
  const share = `${formatPercent(Math.abs(slower))} ${slower >= 0 ? "more" : "less"}`;
  return Math.abs(planned.medianMs - unplanned.medianMs) <= unplanned.spreadMs + planned.spreadMs
    ? `the same time within the noise (${share}, measured)`
    : `${share} time (measured)`;
}

/** That an unplanned step is too large for its device; undefined where it is not. */
export function unfitLine({ before }: Run): string | undefined {
  const room = roomBytes(before);
  if (room === null) return undefined;
  const { name, memoryBytes } = before.device;
  return `the step does not fit: its values need ${formatBytes(before.arenaBytes)}, ${name} has ${formatBytes(room)} of its ${formatBytes(memoryBytes)} for them`;
}

/** What the report says first. */
export function headline(run: Run): { text: string; good: boolean } {
  const { before, plan, together } = run;
  const unfit = unfitLine(run);
  if (together && (!plan || plan.feasible) && !unfit) return { text: `${answerLine(together)}.`, good: true };
  if (!plan && unfit) return { text: `${unfit[0]?.toUpperCase()}${unfit.slice(1)}.`, good: false };
  if (!plan)
    return {
      text: `The step needs ${formatBytes(before.arenaBytes)} and takes ${formatMs(before.step.medianMs)} (${timeSource(before)}).`,
      good: true,
    };
  if (!plan.feasible) return { text: `${infeasibleLine(plan)}.`, good: false };
  const time = timeCost(run, plan);
  const less = memoryChange(run, plan);
  const budget = plan.budgetBytes === null ? "" : ` within the budget of ${formatBytes(plan.budgetBytes)}`;
  // beside a measured time stands what was predicted: the bound is one of predictions
  const predicted = run.paired ? `predicted were ${formatPercent(plan.addedMs / before.step.medianMs)}, and ` : "";
  const proven = boundSentence(run, plan);
  const bound = proven && predicted + proven;
  const text = `The planned step needs ${formatBytes(plan.peakBytes)}${budget}: ${less} for ${time}${bound && `; ${bound}`}.`;
  return { text, good: true };
}

/** How much less memory a plan's step needs, in words; of one that runs otherwise it may be more. */
export function memoryChange({ before }: Pick<Run, "before">, { peakBytes }: Pick<Plan, "peakBytes">): string {
  const share = 1 - peakBytes / before.arenaBytes;
  return `${formatPercent(Math.abs(share))} ${share < 0 ? "more" : "less"} memory`;
}

/** A sweep's point: peak and time as shares of the unplanned step's, and whose it is. */
function pointText({ before }: Run, { planner, peakBytes, addedMs }: TradeoffPoint): string {
  const share = formatPercent(peakBytes / before.arenaBytes);
  return `${formatBytes(peakBytes)} (${share} of the unplanned peak) for ${formatPercent(addedMs / before.step.medianMs)} more time by ${planner}`;
}

/** What a sweep over budgets says: its knee, the least peak, and what of its times nobody measured. */
export function tradeoffLines(run: Run, points: readonly TradeoffPoint[]): string[] {
  const knee = kneeOf(points, run.before.step.medianMs);
  const simulated = points.some(({ copiesSimulated }) => copiesSimulated);
  return [
    knee
      ? `knee, where less memory begins to cost much more time (farthest from the chord between the ends, both axes scaled to 0…1): ${pointText(run, knee)}`
      : "no knee: memory and time trade at the same rate, or there is little to trade",
    `least reachable peak: ${pointText(run, leastPeakOf(points))}`,
    ...(run.before.estimated ? ["all times are estimated"] : simulated ? ["copies are simulated, not measured"] : []),
  ];
}
