import { formatBytes, formatMs, formatPercent } from "../format.js";
import type { Plan } from "../plan/plan.js";
import { comparison } from "../report/comparison.js";
import { facts } from "../report/facts.js";
import type { Run } from "../run/run.js";
import { type Bundle, escapeHtml } from "./cell.js";

/** What a card says: a title, rows of facts, sentences below. */
interface Card {
  readonly title: string;
  readonly good?: boolean;
  readonly head?: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

const countOf = (plan: Plan, action: string): number =>
  plan.decisions.filter((decision) => decision.action === action).length;

/** One sentence that says what a plan comes to. */
function verdict(plan: Plan): string {
  const { budgetBytes, feasible, peakBytes, minimumPeakBytes } = plan;
  if (budgetBytes === null) return `${plan.planner}: peak ${formatBytes(peakBytes)}`;
  return feasible
    ? `${plan.planner}: fits ${formatBytes(budgetBytes)}, predicted peak ${formatBytes(peakBytes)}`
    : `${plan.planner}: does not fit ${formatBytes(budgetBytes)}, the least reachable peak is ${formatBytes(minimumPeakBytes)}`;
}

/** What a plan decides, as rows. */
const planRows = (plan: Plan): [string, string][] => [
  ["recomputed, swapped, kept", `${countOf(plan, "recompute")}, ${countOf(plan, "swap")}, ${plan.kept} activations`],
  ["time added to the step, predicted", formatMs(plan.addedMs)],
  ...(plan.hostBytes ? [["memory of the host", formatBytes(plan.hostBytes)] as [string, string]] : []),
];

function planCard(plan: Plan): Card {
  const first = plan.decisions.slice(0, 3).map(({ action, activation, why }) => `${action} ${activation}: ${why}`);
  return { title: verdict(plan), good: plan.feasible, rows: planRows(plan), notes: first };
}

function runCard(run: Run): Card {
  const { before, plan, equality, warnings } = run;
  const known = facts(run).filter(({ name }) => ["model", "dimensions", "loss, optimizer", "backend"].includes(name));
  const compared = comparison(run, "terminal")
    .map(({ what, before, after }) => (plan ? [what, before, after] : [what, before]))
    .filter(([, ...cells]) => cells.some((cell) => cell !== ""));
  const [holder] = before.peakHolders;
  return {
    title: plan ? verdict(plan) : `peak ${formatBytes(before.arenaBytes)}, no plan`,
    good: plan?.feasible,
    head: plan ? ["", "without a plan", "with the plan"] : undefined,
    rows: [...compared, ...(plan ? planRows(plan).map(([what, value]) => [what, "", value]) : [])],
    notes: [
      ...known.map(({ name, value }) => `${name}: ${value}`),
      ...(holder
        ? [
            `largest at the peak: ${holder.name}, ${formatBytes(holder.bytes)} (${formatPercent(holder.bytes / before.timeline.peakBytes)})`,
          ]
        : []),
      ...(equality ? [`${equality.compared} tensors compared, ${equality.different.length} differ`] : []),
      ...warnings.map(({ text }) => `warning: ${text}`),
    ],
  };
}

function bundleOf({ title, good, head, rows, notes }: Card): Bundle {
  const color = good === undefined ? "#56B4E9" : good ? "#009E73" : "#D55E00";
  const cells = (row: readonly string[], tag: string): string =>
    `<tr>${row.map((text, i) => `<${tag} style="text-align:${i ? "right" : "left"};padding:2px 12px 2px 0">${escapeHtml(text)}</${tag}>`).join("")}</tr>`;
  const list = notes.map((text) => `<li>${escapeHtml(text)}</li>`).join("");
  const widths = rows.reduce<number[]>((most, row) => row.map((text, i) => Math.max(most[i] ?? 0, text.length)), []);
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) => (i ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  return {
    "text/html":
      `<div style="border-left:5px solid ${color};padding:4px 12px"><strong>${escapeHtml(title)}</strong>` +
      `<table>${head ? `<thead>${cells(head, "th")}</thead>` : ""}<tbody>${rows.map((row) => cells(row, "td")).join("")}</tbody></table>` +
      `<ul>${list}</ul></div>`,
    "text/plain": [title, ...rows.map(line), ...notes.map((text) => `- ${text}`)].join("\n"),
  };
}

/** A run as a card: what its plan comes to, before and after, what was measured on what. */
export const runBundle = (run: Run): Bundle => bundleOf(runCard(run));

/** A plan as a card: whether it fits, what it costs, its first decisions. */
export const planBundle = (plan: Plan): Bundle => bundleOf(planCard(plan));
