import { formatBytes, formatMs, formatPercent } from "../format.js";
import { counted, type Rule, rule } from "./finding.js";
import { leverText, leverWords } from "./finding-rules-memory.js";
import type { Lever } from "./levers.js";
import { besideBytes } from "./room.js";
import { kneeOf } from "./tradeoff.js";

/** What levers take off the peak if their gains add up. */
const gainOf = (levers: readonly Lever[]): number => levers.reduce((sum, { gainBytes }) => sum + (gainBytes ?? 0), 0);

/** Findings on a plan and its budget. */
export const planRules: readonly Rule[] = [
  rule({
    name: "infeasible",
    severity: "problem",
    threshold: null,
    test: ({ plan }) => (plan && !plan.feasible ? plan : null),
    say: (plan, facts) => {
      const { peak } = facts;
      const budget = formatBytes(plan.budgetBytes ?? 0);
      const planner = plan.minimumPlanner ?? plan.planner;
      const first = peak.parts[0];
      return {
        title: "The budget cannot be met",
        evidence: `the budget is ${budget}, the least reachable peak ${formatBytes(plan.minimumPeakBytes)} (planner ${planner})${
          peak.node ? `; in the way: ${facts.nodeText(peak.node.name)}` : ""
        }${first ? `, where the largest is ${facts.named(first.name, first.module)}, ${formatBytes(first.bytes)}` : ""}`,
        todo: `The smallest budget that is known to work is ${formatBytes(plan.minimumPeakBytes)}; else take something off the peak, as the next findings say.`,
        ...facts.tries({ budget: `${plan.minimumPeakBytes}B`, ...(planner === "best" ? {} : { planner }) }),
        ...(peak.node ? { node: peak.node.name, module: facts.moduleOf(peak.node.name) } : {}),
      };
    },
  }),
  rule({
    name: "infeasible-lever",
    severity: "advice",
    threshold: { value: 0.02, of: "the least reachable peak (share that it takes off)" },
    test: ({ plan, levers, peak }, limit) =>
      plan?.feasible === false
        ? levers.filter(
            ({ kind, gainBytes, command }) => kind !== "plan" && command && (gainBytes ?? 0) >= limit * peak.bytes,
          )
        : null,
    say: (lever: Lever, facts) => ({
      title: lever.fits ? `Would fit: ${lever.what}` : `Would come closer: ${lever.what}`,
      evidence: `the least reachable peak is ${formatBytes(facts.peak.bytes)} now and about ${formatBytes(lever.peakBytes ?? 0)} then (estimated), the budget ${formatBytes(facts.plan?.budgetBytes ?? 0)}`,
      todo: `Take ${leverText(lever)}.`,
      ...leverWords(facts, lever),
    }),
  }),
  rule({
    name: "infeasible-together",
    severity: "advice",
    threshold: { value: 2, of: "levers (at least so many are pulled together)" },
    test: ({ plan, levers, peak }, limit) => {
      if (plan?.feasible !== false || levers.some(({ kind, fits }) => fits && kind !== "plan")) return null;
      const wantedBytes = peak.bytes - (plan.budgetBytes ?? 0);
      const together: Lever[] = [];
      for (const lever of levers) {
        // the largest of each kind, and of a smaller batch and micro-batches only one
        const kinds = together.map(({ kind }) => (kind === "accumulate" ? "batch" : kind));
        const isNew = !kinds.includes(lever.kind === "accumulate" ? "batch" : lever.kind);
        if (isNew && lever.kind !== "plan" && lever.command && lever.gainBytes && gainOf(together) < wantedBytes)
          together.push(lever);
      }
      return together.length >= limit && gainOf(together) >= wantedBytes && { together };
    },
    say: ({ together }, facts) => ({
      title: `Would fit together: ${together.map(({ what }) => what).join(", ")}`,
      evidence: `no one of them does; if their gains add up, the least reachable peak is about ${formatBytes(facts.peak.bytes - gainOf(together))} then (estimated), the budget ${formatBytes(facts.plan?.budgetBytes ?? 0)}`,
      todo: `Take ${together.map(leverText).join(", and ")}.`,
      ...facts.tries(Object.assign({}, ...together.map(({ changed }) => changed))),
      gainBytes: gainOf(together),
      estimated: true,
    }),
  }),
  rule({
    name: "useless-plan",
    severity: "problem",
    threshold: null,
    test: ({ plan, run }) =>
      plan?.feasible && plan.decisions.length > 0 && plan.peakBytes >= run.before.arenaBytes ? plan : null,
    say: (plan, facts) => ({
      title: "The plan lowers no peak",
      evidence: `${counted(plan.decisions.length, "decision")} add ${formatMs(plan.addedMs)} and leave ${formatBytes(plan.peakBytes)} of ${formatBytes(facts.run.before.arenaBytes)}${
        facts.peak.node ? `: the peak is at ${facts.nodeText(facts.peak.node.name)} (${facts.peak.node.phase})` : ""
      }`,
      todo: "Drop the plan: what holds the peak are not activations that can be freed.",
      ...facts.unplanned(),
      gainMs: plan.addedMs,
      estimated: true,
    }),
  }),
  rule({
    name: "fits-anyway",
    severity: "advice",
    threshold: { value: 0.5, of: "the device's memory (share that the unplanned step needs)" },
    test: ({ plan, isGpu, run: { before } }, limit) =>
      isGpu &&
      plan?.feasible &&
      plan.addedMs > 0 &&
      before.device.memoryBytes > 0 &&
      before.arenaBytes <= limit * before.device.memoryBytes
        ? plan
        : null,
    say: (plan, facts) => {
      const { arenaBytes, device } = facts.run.before;
      return {
        title: "The step fits without a plan",
        evidence: `unplanned it needs ${formatBytes(arenaBytes)} of the ${formatBytes(device.memoryBytes)} of ${device.name}; the plan adds ${formatMs(plan.addedMs)}`,
        todo: "Drop the budget, unless the memory is needed for something else.",
        ...facts.unplanned(),
        gainMs: plan.addedMs,
        estimated: true,
      };
    },
  }),
  rule({
    name: "costly-plan",
    severity: "advice",
    threshold: { value: 0.2, of: "the unplanned step's time (share that the plan adds)" },
    test: ({ plan, run: { before } }, limit) =>
      plan?.feasible &&
      plan.peakBytes < before.arenaBytes &&
      before.step.medianMs > 0 &&
      plan.addedMs >= limit * before.step.medianMs
        ? plan
        : null,
    say: (plan, facts) => {
      const changed = { maxSlowdown: "10%" };
      return {
        title: "The plan costs much time",
        evidence: `it adds ${formatMs(plan.addedMs)}, ${formatPercent(plan.addedMs / facts.run.before.step.medianMs)} of the unplanned step${facts.run.before.estimated ? "" : " (predicted)"}`,
        todo: "See what is reached in 10 % more time; if the budget is fixed, micro-batches or a smaller batch may cost less.",
        ...facts.tries(changed, ["budget", "planner", "variant"]),
      };
    },
  }),
  rule({
    name: "bound-gap",
    severity: "advice",
    threshold: { value: 0.02, of: "the unplanned step's time (share that the plan adds above the proven bound)" },
    test: ({ plan, run: { before } }, limit) => {
      // a bound of 0 says that nothing was proven
      const gap = plan?.feasible && plan.bound?.addedMs ? plan.addedMs - plan.bound.addedMs : 0;
      return plan && gap > limit * before.step.medianMs && { plan };
    },
    say: ({ plan }, facts) => {
      const changed = { timeLimit: 120 };
      return {
        title: "A longer search may find a faster plan",
        evidence: `the plan of ${plan.planner} adds ${formatMs(plan.addedMs)}; it is proven only that none adds less than ${formatMs(plan.bound?.addedMs ?? 0)}`,
        todo: "Let the search take longer.",
        ...facts.tries(changed, ["planner", "variant"]),
        estimated: true,
      };
    },
  }),
  rule({
    name: "other-planner",
    severity: "advice",
    threshold: { value: 0.01, of: "the unplanned step's time (share by which another planner's plan adds less)" },
    test: ({ plan, run: { before } }, limit) => {
      if (!plan?.feasible) return null;
      const other = plan.beside?.find(
        (one) => one.feasible && one.addedMs < plan.addedMs - limit * before.step.medianMs,
      );
      return other && { plan, other };
    },
    say: ({ plan, other }, facts) => {
      const changed = { planner: other.planner };
      return {
        title: `Planner ${other.planner} costs less time`,
        evidence: `within the same budget ${other.planner} adds ${formatMs(other.addedMs)}, ${plan.planner} ${formatMs(plan.addedMs)}`,
        todo: "Plan with it.",
        ...facts.tries(changed, ["variant"]),
        gainMs: plan.addedMs - other.addedMs,
        estimated: true,
      };
    },
  }),
  rule({
    name: "knee",
    severity: "note",
    threshold: { value: 0.02, of: "the unplanned peak (distance of the run's budget from the knee)" },
    test: ({ run: { tradeoff, before, plan } }, limit) => {
      const knee = tradeoff && kneeOf(tradeoff, before.step.medianMs);
      const budget = plan?.budgetBytes ?? before.arenaBytes;
      return knee && knee.budgetBytes !== null && Math.abs(budget - knee.peakBytes) > limit * before.arenaBytes && knee;
    },
    say: (knee, facts) => {
      const { before } = facts.run;
      const changed = { budget: `${knee.budgetBytes}B`, planner: knee.planner };
      return {
        title: "Less memory is cheap up to the knee of the curve",
        evidence: `${knee.planner} reaches ${formatBytes(knee.peakBytes)} (${formatPercent(knee.peakBytes / before.arenaBytes)} of the unplanned peak) for ${formatMs(knee.addedMs)} more; below it time grows faster`,
        todo: "Take the knee as the budget where none is given.",
        ...facts.tries(changed, ["variant", "maxSlowdown"]),
        gainBytes: Math.max(0, facts.peak.bytes - knee.peakBytes),
        gainMs: (facts.plan?.feasible ? facts.plan.addedMs : 0) - knee.addedMs,
        estimated: true,
      };
    },
  }),
  rule({
    name: "over-device",
    severity: "problem",
    threshold: { value: 1, of: "the device's memory (share of values and all that lies beside them)" },
    test: ({ isGpu, peak, run: { before } }, limit) => {
      const memory = before.device.memoryBytes;
      const beside = besideBytes(before);
      return isGpu && memory > 0 && peak.bytes + beside > limit * memory && { memory, beside };
    },
    say: ({ memory, beside }, facts) => {
      const changed = { budget: `${Math.max(1, Math.floor(memory - beside))}B` };
      return {
        title: "The step does not fit into the device",
        evidence: `the ${facts.peak.which} step's values need ${formatBytes(facts.peak.bytes)}, what lies beside them ${formatBytes(beside)}; ${facts.run.before.device.name} has ${formatBytes(memory)}`,
        todo: "Plan for what is left beside workspace, context and kernels.",
        ...facts.tries(changed),
        gainBytes: facts.peak.bytes + beside - memory,
        estimated: true,
      };
    },
  }),
];
