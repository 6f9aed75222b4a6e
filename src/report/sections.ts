import { formatBytes, formatCount, formatMs } from "../format.js";
import { categories, type Phase, tensorBytes } from "../graph/graph.js";
import type { Plan } from "../plan/plan.js";
import { inShort } from "../run/beside.js";
import type { Finding } from "../run/finding.js";
import { findingsOf, headFindings } from "../run/findings.js";
import { moduleText } from "../run/modules.js";
import type { NodeRow } from "../run/node-rows.js";
import { byReason } from "../run/notes.js";
import { peakIntervalOf } from "../run/planned-rows.js";
import type { Profile } from "../run/profile.js";
import type { Run } from "../run/run.js";
import type { TradeoffPoint } from "../run/tradeoff.js";
import { comparison } from "./comparison.js";
import { decisionGroups } from "./decisions.js";
import { facts } from "./facts.js";
import { promiseText } from "./finding-text.js";
import { memoryView } from "./memory.js";
import { moduleTreeView } from "./module-view.js";
import {
  boundSentence,
  constraintsLine,
  copiesNote,
  decisionCounts,
  equalityLine,
  estimatedMark,
  headline,
  helps,
  stepShown,
  tradeoffLines,
} from "./sentences.js";
import { stateBytes, stateRows } from "./states.js";
import { togetherView } from "./together.js";

/** The ops that take the most time are shown, so many. */
const mostOps = 25;

/** On paper fewer are (`.few` in report.css). */
const paperOps = 12;

/** One section of the report. Its words are in its partial, which opens with a sentence that says what it shows. */
export interface Section {
  /** Names the partial, `templates/partials/NAME.hbs`, and the element's id. */
  readonly name: string;
  /** Its head, as in the navigation and the table of contents. */
  readonly title: string;
  /** Whether a run has anything for it; default always. */
  readonly isShown?: (run: Run) => boolean;
  /** What the partial shows beside the run itself. */
  readonly view?: (run: Run) => object;
}

/** The sections of the report, from top to bottom. */
export const sections: readonly Section[] = [
  { name: "summary", title: "Summary", view: summary },
  { name: "together", title: "Several models", isShown: ({ together }) => together !== undefined, view: togetherView },
  { name: "findings", title: "Findings", view: findings },
  { name: "memory", title: "Memory", view: memoryView },
  { name: "time", title: "Time", view: time },
  { name: "activations", title: "Activations" },
  {
    name: "planner",
    title: "Plan",
    isShown: ({ plan }) => plan !== null,
    view: (run) => (run.plan ? planner(run, run.plan) : {}),
  },
  {
    name: "tradeoff",
    title: "Time against memory",
    isShown: ({ tradeoff }) => tradeoff !== undefined,
    view: (run) => (run.tradeoff ? tradeoff(run, run.tradeoff) : {}),
  },
  { name: "model", title: "Model", view: model },
  { name: "environment", title: "Reproduce", view: environment },
];

/** Files that a run's folder always has. */
export const folderFiles = ({ plan, tradeoff }: Run): string[] => [
  "run.json",
  "profiler_stats_node_stats.csv",
  "profiler_stats_activation_stats.csv",
  "modules.csv",
  "findings.json",
  ...(plan ? ["planned-nodes.csv", "planned-activations.csv", "planned-modules.csv"] : []),
  ...(tradeoff ? ["tradeoff.csv"] : []),
];

/** So many findings stand first, with all that is known of them. */
const mostFindings = 6;

const nullIfEmpty = <T>(list: readonly T[]): readonly T[] | null => (list.length ? list : null);

const findingView = (run: Run) => (finding: Finding) => ({
  severity: finding.severity,
  title: finding.title,
  evidence: finding.evidence + estimatedMark(run.before),
  todo: finding.todo,
  promise: promiseText(finding),
  command: finding.command ?? "",
  module: finding.module === undefined ? "" : moduleText(finding.module),
  node: finding.node ?? "",
});

/** What to do, what to know, and warnings that no finding says. */
function findings(run: Run) {
  const all = findingsOf(run);
  const head = headFindings(run, mostFindings);
  const rules = new Set(head.map(({ rule }) => rule));
  return {
    head: nullIfEmpty(head.map((finding, i) => ({ ...findingView(run)(finding), id: `finding-command-${i}` }))),
    others: nullIfEmpty(
      all.filter((finding) => !head.includes(finding) && !rules.has(finding.rule)).map(findingView(run)),
    ),
    // lists that hold nothing are left out with their heads
    warnings: nullIfEmpty(run.warnings.map(({ text }) => text)),
    notes: nullIfEmpty(run.model.notes),
    untrained: nullIfEmpty(
      byReason(run.model.untrained ?? []).map(([reason, names]) => ({ reason, names: names.join(", ") })),
    ),
  };
}

function summary(run: Run) {
  const { equality, before } = run;
  return {
    headline: headline(run),
    first: nullIfEmpty(headFindings(run, mostFindings).map(findingView(run))),
    figures: keyFigures(run),
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

/** The numbers that one looks for first, each with what it is. */
function keyFigures(run: Run): { label: string; value: string; detail: string }[] {
  const { before, plan } = run;
  const step = stepShown(run);
  return [
    {
      label: plan ? `peak, unplanned to ${plan.feasible ? "planned" : "the least found"}` : "peak",
      value: plan
        ? `${formatBytes(before.arenaBytes)} → ${formatBytes(plan.peakBytes)}`
        : formatBytes(before.arenaBytes),
      detail: "arena, predicted by layout",
    },
    { label: step.label, value: step.value, detail: step.detail },
    ...(plan ? [{ label: "decisions", value: String(plan.decisions.length), detail: decisionCounts(plan) }] : []),
    {
      label: "nodes in the step",
      value: formatCount(before.nodes.length),
      detail: `${formatCount(before.activations.length)} saved activations`,
    },
  ];
}

function time({ before }: Run) {
  const slowest = before.nodes.reduce(
    (a, z) => (z.time.medianMs > a.time.medianMs ? z : a),
    before.nodes[0] as NodeRow,
  );
  return {
    slowest: before.nodes.length ? { name: slowest.name, ms: formatMs(slowest.time.medianMs) } : null,
    sum: formatMs(before.nodesMs),
  };
}

function planner(run: Run, plan: Plan) {
  const states = stateRows(plan);
  const swappedBytes = (plan.hostBytes ?? 0) - stateBytes(plan);
  return {
    states: states.length ? states : null,
    isJoint: states.some(({ owner }) => owner),
    groups: decisionGroups(run),
    counts: decisionCounts(plan),
    beside: [inShort(plan), ...(plan.beside ?? [])].map((one) => ({
      ...one,
      fits: one.feasible ? "yes" : "no",
      peak: formatBytes(one.peakBytes),
      added: formatMs(one.addedMs) + estimatedMark(run.before),
    })),
    isCompared: (plan.beside?.length ?? 0) > 0,
    planFacts: {
      variant: plan.variant === "printed" ? ", as printed" : "",
      interval: intervalOf(run),
      kept: plan.kept,
      minimum: formatBytes(plan.minimumPeakBytes),
      limits: constraintsLine(plan),
      printed: formatBytes(plan.printedPeakBytes),
      exact: formatBytes(plan.timelinePeakBytes),
      planning: formatMs(plan.planningMs),
      host: swappedBytes > 0 ? formatBytes(swappedBytes) : null,
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

/** Between which nodes of the unplanned step more lives than the budget; null without a budget, or within it. */
function intervalOf(run: Run) {
  const interval = peakIntervalOf(run);
  const nameOf = (rank: number): string => run.before.nodes[rank]?.name ?? "";
  return interval ? { first: nameOf(interval.first), last: nameOf(interval.last) } : null;
}

const tradeoff = (run: Run, points: readonly TradeoffPoint[]) => ({
  lines: tradeoffLines(run, points),
});

/** What the model and its step are made of. */
function model(run: Run) {
  const { graph, before } = run;
  const ops = new Map<string, { op: string; counts: Record<Phase, number>; ms: number }>();
  for (const { op, phase, time } of before.nodes) {
    const known = ops.get(op) ?? { op, counts: { forward: 0, loss: 0, backward: 0, update: 0 }, ms: 0 };
    known.counts[phase]++;
    known.ms += time.medianMs;
    ops.set(op, known);
  }
  const rows = [...ops.values()].sort((a, z) => z.ms - a.ms);
  const sizes = categories.map((category) => {
    const own = graph.tensors.filter((tensor) => tensor.category === category && !tensor.within && !tensor.host);
    return { category, count: own.length, bytes: own.reduce((sum, tensor) => sum + tensorBytes(tensor), 0) };
  });
  return {
    ops: rows.slice(0, mostOps).map(({ op, counts, ms }) => ({ op, ...counts, ms: formatMs(ms) })),
    moreOps: Math.max(0, rows.length - mostOps),
    paperOps: Math.max(0, rows.length - paperOps),
    tensors: sizes
      .filter(({ count }) => count > 0)
      .map(({ category, count, bytes }) => ({ category, count: formatCount(count), size: formatBytes(bytes) })),
    nodeCount: formatCount(before.nodes.length),
    opCount: rows.length,
    modules: moduleTreeView(run),
  };
}

function environment({ before, environment }: Run) {
  return {
    measured: measuredLine(before),
    losses: before.losses.map((loss) => (loss === null ? "not finite" : loss.toPrecision(6))).join(", "),
    environment: Object.entries(environment).map(([name, value]) => ({
      name,
      value: name === "memoryBytes" ? formatBytes(value as number) : String(value),
    })),
  };
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;

/** What was executed for a run; iterations only where there were any. */
function measuredLine({ estimated, backend, iterations, warmups }: Profile): string {
  if (estimated) return "nothing: times are estimated";
  if (backend === "tables") return "nothing here: times are those of the tables";
  if (backend === "replay") return "nothing here: times are those of the recording";
  return `${count(iterations, "iteration")} of each kind after ${count(warmups, "warm-up")}`;
}
