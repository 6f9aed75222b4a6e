import { formatBytes, formatMs } from "../format.js";
import type { Plan } from "../plan/plan.js";
import { inShort } from "../run/beside.js";
import { peakIntervalOf } from "../run/planned-rows.js";
import type { Run } from "../run/run.js";
import type { TradeoffPoint } from "../run/tradeoff.js";
import { comparison } from "./comparison.js";
import { facts } from "./facts.js";
import {
  boundSentence,
  constraintsLine,
  copiesNote,
  equalityLine,
  estimatedMark,
  headline,
  helps,
  tradeoffLines,
} from "./sentences.js";

/** One section of the report. Its words are in its partial, which opens with a sentence that says what it shows. */
export interface Section {
  /** Names the partial, `templates/partials/NAME.hbs`, and the element's id. */
  readonly name: string;
  /** What the partial shows beside the run itself. */
  readonly view?: (run: Run) => object;
}

/** The sections of the report, from top to bottom. */
export const sections: readonly Section[] = [
  { name: "summary", view: summary },
  { name: "timeline" },
  { name: "peak", view: peak },
  { name: "planner", view: (run) => (run.plan ? planner(run, run.plan) : {}) },
  { name: "tradeoff", view: (run) => (run.tradeoff ? tradeoff(run, run.tradeoff) : { hasTradeoff: false }) },
  { name: "nodes" },
  { name: "activations" },
  { name: "environment", view: environment },
];

function summary(run: Run) {
  const { equality, before } = run;
  return {
    headline: headline(run),
    facts: facts(run),
    comparison: comparison(run, "report"),
    equality: equality && {
      compared: equality.compared,
      equal: equality.different.length === 0,
      line: equalityLine(equality),
      different: equality.different.slice(0, 10),
    },
    copies: (before.copies ?? []).map(({ bytes, toHostMs, toDeviceMs }) => ({
      size: formatBytes(bytes),
      toHost: `${formatMs(toHostMs)}, ${(bytes / toHostMs / 1e6).toFixed(1)} GB/s`,
      toDevice: `${formatMs(toDeviceMs)}, ${(bytes / toDeviceMs / 1e6).toFixed(1)} GB/s`,
    })),
  };
}

function peak({ before }: Run) {
  const node = before.nodes[before.timeline.peakRank];
  return { peakNode: node ? `${node.name} (${node.op}, ${node.phase})` : "" };
}

function planner(run: Run, plan: Plan) {
  return {
    decisions: plan.decisions.map((decision) => ({
      ...decision,
      number: decision.order + 1,
      saved: formatBytes(decision.savedBytes),
      peak: formatBytes(decision.peakBytesAfter),
      added: formatMs(decision.addedMs),
      inactive: formatMs(decision.inactiveMs),
      ratio: decision.recomputeRatio === null ? "" : `${formatBytes(decision.recomputeRatio)}/ms`,
    })),
    beside: [inShort(plan), ...(plan.beside ?? [])].map((one) => ({
      ...one,
      fits: one.feasible ? "yes" : "no",
      peak: formatBytes(one.peakBytes),
      added: formatMs(one.addedMs) + estimatedMark(run.before),
    })),
    isCompared: (plan.beside?.length ?? 0) > 0,
    planFacts: {
      variant: plan.variant === "printed" ? ", as printed" : "",
      interval: intervalLine(run),
      kept: plan.kept,
      minimum: formatBytes(plan.minimumPeakBytes),
      limits: constraintsLine(plan),
      printed: formatBytes(plan.printedPeakBytes),
      exact: formatBytes(plan.timelinePeakBytes),
      planning: formatMs(plan.planningMs),
      host: plan.hostBytes ? formatBytes(plan.hostBytes) : null,
      added: formatMs(plan.addedMs) + copiesNote(run),
      bound: boundSentence(run, plan),
      obstacle: plan.obstacle && {
        node: plan.obstacle.node,
        holders: plan.obstacle.holders.map(({ name, bytes }) => ({ name, bytes: formatBytes(bytes) })),
        helps: helps(run),
      },
    },
  };
}

/** Between which nodes of the unplanned step more lives than the budget; empty without a budget, or within it. */
function intervalLine(run: Run): string {
  const interval = peakIntervalOf(run);
  const nameOf = (rank: number): string => run.before.nodes[rank]?.name ?? "";
  return interval ? `${nameOf(interval.first)} to ${nameOf(interval.last)}` : "";
}

const tradeoff = (run: Run, points: readonly TradeoffPoint[]) => ({
  hasTradeoff: true,
  lines: tradeoffLines(run, points),
});

function environment({ before, environment }: Run) {
  return {
    measured: before.estimated
      ? "nothing: times are estimated"
      : before.backend === "tables"
        ? "nothing here: times are those of the tables"
        : `${before.iterations} iterations of each kind after ${before.warmups} warm-ups`,
    losses: before.losses.map((loss) => (loss === null ? "not finite" : loss.toPrecision(6))).join(", "),
    environment: Object.entries(environment).map(([name, value]) => ({
      name,
      value: name === "memoryBytes" ? formatBytes(value as number) : String(value),
    })),
  };
}
