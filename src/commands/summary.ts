import path from "node:path";
import Table from "cli-table3";
import { formatBytes, formatMs, formatPercent } from "../format.js";
import type { PeakHolder } from "../memory/liveness.js";
import { comparison } from "../report/comparison.js";
import { findingLines } from "../report/finding-text.js";
import {
  boundSentence,
  constraintsLine,
  copiesNote,
  decisionCounts,
  equalityLine,
  estimatedMark,
  helps,
  leverLine,
  memoryChange,
  tradeoffLines,
  unfitLine,
} from "../report/sentences.js";
import { answerRows, partitionRows, togetherLines } from "../report/together.js";
import type { Fit, FittedBatch } from "../run/fit.js";
import { leastPlan } from "../run/least.js";
import { levers } from "../run/levers.js";
import { modulesOf, moduleText } from "../run/modules.js";
import { commandOf } from "../run/option-forms.js";
import { ownOptions } from "../run/own-options.js";
import { plannedPeak } from "../run/planned-rows.js";
import type { Run } from "../run/run.js";
import type { Together } from "../run/together.js";
import { boundsOf, type TradeoffPoint } from "../run/tradeoff.js";
import { type Verification, verificationLimits } from "../run/verification.js";
import { tableText } from "./table.js";

const plain = { head: [], border: [] };

/** A module in brackets; what is in none has them already. */
const inBrackets = (path: string): string => moduleText(path).replace(/^[^(].*$/s, "($&)");

/** A node's name, with its module where the model file tells it. */
function nodeText(run: Run, name = "?"): string {
  const modules = modulesOf(run);
  return modules.basis ? `${name} ${inBrackets(modules.ofNode(name).module)}` : name;
}

/** Name and module of what holds memory; of a flat buffer how many tensors it is of, and the largest. */
function holderText(run: Run, { name, bytes }: PeakHolder): string {
  const modules = modulesOf(run);
  const shares = modules.sharesOfTensor(name);
  if (shares.length === 1) return modules.basis ? `${name} ${inBrackets(modules.ofTensor(name))}` : name;
  const largest = shares.reduce((a, z) => (z.share > a.share ? z : a));
  return `${name} (${shares.length} tensors, the largest ${formatBytes(Math.round(bytes * largest.share))} ${largest.parameter})`;
}

/** A run in a few lines for a terminal: peak and time, predicted beside measured, before and after. */
export function runSummary(run: Run): string {
  const { before, plan } = run;
  const table = new Table({ head: ["", "unplanned", ...(plan ? [plan.planner] : [])], style: plain });
  for (const row of comparison(run, "terminal")) table.push([row.what, row.before, ...(plan ? [row.after] : [])]);
  const lines = [
    `${run.model.file}: ${before.nodes.length} nodes, ${run.model.parameters.toLocaleString("en")} parameters, ${before.activations.length} saved activations`,
    ...run.model.notes.map((note) => `note: ${note}`),
    tableText(table),
    ...(run.together ? togetherSummary(run.together) : []),
    `peak at ${nodeText(run, before.nodes[before.timeline.peakRank]?.name)}; the largest there:`,
    ...holderLines(run, before.peakHolders),
    ...plannedPeakLines(run),
  ];
  if (plan?.feasible) {
    const bound = boundSentence(run, plan);
    lines.push(
      `plan: ${decisionCounts(plan)}; ${memoryChange(run, plan)} for ${formatMs(plan.addedMs)} more${copiesNote(run)}`,
    );
    if (bound) lines.push(`bound: ${formatPercent(plan.addedMs / before.step.medianMs)} more time; ${bound}`);
  }
  const limits = plan ? constraintsLine(plan) : "";
  if (limits) lines.push(`within: ${limits}`);
  const unfit = unfitLine(run);
  if (!plan && unfit) lines.push(unfit, "would make it fit, beside the run's own options:", ...fittingLines(run));
  if (plan && !plan.feasible)
    lines.push(
      "would lower the least reachable peak, beside the run's own options:",
      ...helps(run).map((line) => `  ${line}`),
    );
  if (run.equality) lines.push(`equality: ${equalityLine(run.equality)}`);
  // the levers above are what would be found
  if (!plan || plan.feasible) lines.push(...findingLines(run));
  lines.push(...run.warnings.map(({ text }) => `warning: ${text}`));
  return lines.join("\n");
}

/** The ways of training several models in a few lines, the executed one marked. */
function togetherSummary(together: Together): string[] {
  const head = ["10 000 steps of every model", "how", "time", "step", "predicted", "plan adds", "as fast", "peak", ""];
  const table = new Table({ head, style: { ...plain, compact: true } });
  for (const { what, how, hours, step, predicted, added, faster, peak, executed } of answerRows(together))
    table.push([
      what,
      how,
      hours,
      step,
      predicted,
      added,
      faster,
      peak,
      executed === "yes" ? "executed" : executed && `executed ${executed}`,
    ]);
  const files = new Set(together.trials.map((one) => one.path));
  const models = together.trials.map(({ name, path: file, varied }) => {
    const words = Object.entries(varied).map(([key, value]) => `${key} ${value}`);
    if (files.size > 1) words.unshift(path.basename(file));
    return `  ${name}  ${words.join(", ") || "as given"}`;
  });
  const shown =
    models.length > mostModels
      ? [...models.slice(0, mostModels - 1), `  … ${models.length - mostModels + 1} more`]
      : models;
  return [...shown, tableText(table), ...partitionsText(together), ...togetherLines(together)];
}

/** The partitions that were simulated to multiplex the models; nothing where none were. */
function partitionsText(together: Together): string[] {
  const rows = partitionRows(together);
  if (!rows.length) return [];
  const head = ["sub-arrays of", "verdict", "step (simulated)", "plan adds", "peak", "decisions"];
  const table = new Table({ head, style: { ...plain, compact: true } });
  for (const { sizes, verdict, step, added, peak, decisions } of rows)
    table.push([sizes, verdict, step, added, peak, decisions]);
  return [tableText(table)];
}

/** More models than this are not listed one by one. */
const mostModels = 16;

/** What would lower the peak enough, each in a line with its command. */
const fittingLines = (run: Run): string[] =>
  levers(run)
    .filter(({ fits }) => fits !== false)
    .flatMap((lever) => [`  ${leverLine(lever)}`, ...(lever.command === null ? [] : [`    ${lever.command}`])]);

const holderLines = (run: Run, holders: readonly PeakHolder[]): string[] =>
  holders.slice(0, 5).map((h) => `  ${formatBytes(h.bytes).padStart(11)}  ${h.category}  ${holderText(run, h)}`);

/** Where the planned step's peak is and who holds it; of an infeasible plan, what is in the way of a lower one. */
function plannedPeakLines(run: Run): string[] {
  const peak = plannedPeak({ ...run, plan: run.plan && leastPlan(run, run.plan) });
  if (!peak) return [];
  const what = run.plan?.feasible ? "planned peak at" : "in the way of the budget:";
  return [`${what} ${nodeText(run, peak.node.name)}; the largest there:`, ...holderLines(run, peak.holders)];
}

/**
 * A sweep over budgets for a terminal: the time that each planner adds at each budget, as a share of the unplanned
 * step's, a dash where its plans do not fit, and what is proven that any plan adds; below it the planners without a budget.
 */
export function tradeoffSummary(run: Run): string {
  const { before, tradeoff = [] } = run;
  const points = tradeoff.filter(({ budgetBytes }) => budgetBytes !== null);
  const planners = [...new Set(points.map(({ planner }) => planner))];
  const budgets = [...new Set(points.map(({ budgetBytes }) => budgetBytes as number))].sort((a, z) => z - a);
  const cost = ({ addedMs }: Pick<TradeoffPoint, "addedMs">): string =>
    `${addedMs < 0 ? "−" : "+"}${formatPercent(Math.abs(addedMs) / before.step.medianMs)}`;
  const bounds = new Map(boundsOf(points).map(({ budgetBytes, boundMs }) => [budgetBytes, boundMs]));
  const head = ["budget", "of the peak", ...planners, ...(bounds.size ? ["at least"] : [])];
  const table = new Table({ head, style: { ...plain, compact: true }, colAligns: head.map(() => "right" as const) });
  for (const bytes of budgets) {
    const at = new Map(points.filter((one) => one.budgetBytes === bytes).map((one) => [one.planner, cost(one)]));
    const share = formatPercent(bytes / before.arenaBytes);
    const bound = bounds.get(bytes);
    const least = bound === undefined ? "" : cost({ addedMs: bound });
    const cells = planners.map((planner) => at.get(planner) ?? "–");
    table.push([formatBytes(bytes), share, ...cells, ...(bounds.size ? [least] : [])]);
  }
  const fixed = tradeoff.filter(({ budgetBytes }) => budgetBytes === null);
  const unplanned = `${formatBytes(before.arenaBytes)} and ${formatMs(before.step.medianMs)}${estimatedMark(before)} unplanned`;
  return [
    `${run.model.file}: ${unplanned}; time that plans add, ${before.estimated ? "estimated" : "predicted"}:`,
    tableText(table),
    ...fixed.map((one) => `${one.planner}: ${formatBytes(one.peakBytes)}, ${cost(one)}`),
    ...tradeoffLines(run, tradeoff),
  ].join("\n");
}

/** A verification in a few lines for a terminal: what failed first, else the worst errors. */
export function verificationSummary(result: Verification): string {
  const worst = [...result.gradients].sort((a, z) => z.relativeError - a.relativeError).slice(0, 5);
  const table = new Table({ head: ["", "relative error", "limit"], style: plain });
  const judged = (what: string, error: number, limit: number): void =>
    void table.push([what, error.toExponential(1), limit.toExponential()]);
  judged("loss", result.loss.relativeError, verificationLimits.loss);
  for (const { name, relativeError } of worst) judged(`gradient ${name}`, relativeError, verificationLimits.gradient);
  for (const [name, { maxRelativeError }] of Object.entries(result.curves))
    judged(`curve ${name}`, maxRelativeError, verificationLimits.curve);
  const buffer = result.buffers.reduce((most, b) => Math.max(most, b.relativeError), 0);
  if (result.buffers.length)
    table.push([`${result.buffers.length} running statistics, worst`, buffer.toExponential(1), "not judged"]);
  return [
    tableText(table),
    ...result.missing.map((name) => `missing gradient: ${name}`),
    ...(result.float32
      ? [
          `computed in float64: rounding alone takes float32 as far as ${result.float32.gradient.toExponential(1)} (gradient) and ${result.float32.curve.toExponential(1)} (curve)`,
        ]
      : []),
    `${result.ok ? "ok" : "differs"}: ${result.model}, ${result.gradients.length} gradients`,
  ].join("\n");
}

/** The largest batches within some memory in a few lines for a terminal. */
export function fitSummary(run: Run, { dim, limitBytes, unplanned, planned, notes }: Fit): string {
  const head = [`within ${formatBytes(limitBytes)}`, `largest ${dim}`, "peak", "step (estimated)"];
  const table = new Table({ head, style: plain });
  const cells = (batch: FittedBatch | null): string[] =>
    batch ? [String(batch.batch), formatBytes(batch.peakBytes), formatMs(batch.estimatedMs)] : ["not even 1", "", ""];
  table.push(["unplanned", ...cells(unplanned)]);
  table.push([planned?.plan.planner ?? "planned", ...cells(planned)]);
  const lines = [tableText(table), ...notes.map((note) => `note: ${note}`)];
  if (planned) {
    const { plan, batch } = planned;
    const share = plan.addedMs / (planned.estimatedMs - plan.addedMs);
    const dims = { ...run.model.dims, [dim]: batch };
    lines.push(
      `plan: ${decisionCounts(plan)}; ${formatMs(plan.addedMs)} more (${formatPercent(share)}, estimated)`,
      `to run it: ${commandOf("profile", run.model.path, { ...ownOptions({ ...run, plan: null }), dims, budget: `${limitBytes}B` })}`,
    );
  }
  return lines.join("\n");
}
