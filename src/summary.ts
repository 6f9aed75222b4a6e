import Table from "cli-table3";
import { formatBytes, formatMs, formatPercent } from "./format.js";
import type { Plan } from "./plan.js";
import type { Run } from "./run.js";
import type { Verification } from "./verify.js";

const plain = { head: [], border: [] };

/** One line for a budget that cannot be met. */
export const infeasibleLine = (plan: Plan): string =>
  `infeasible budget: ${formatBytes(plan.budgetBytes ?? 0)}; the least reachable peak is ${formatBytes(plan.minimumPeakBytes)}`;

/** How many activations are recomputed, swapped and kept. */
function decisionCounts(plan: Plan): string {
  const recomputed = plan.decisions.filter(({ action }) => action === "recompute").length;
  const swapped = plan.decisions.length - recomputed;
  const swaps = swapped ? [`${swapped} swapped (${formatBytes(plan.hostBytes ?? 0)} on the host)`] : [];
  return [...(recomputed || !swapped ? [`${recomputed} recomputed`] : []), ...swaps, `${plan.kept} kept`].join(", ");
}

/** Says so where the plan's added time counts copies that nobody measured; empty elsewhere. */
export function copiesNote({ plan, before }: Run): string {
  const swapped = new Set(plan?.decisions.flatMap((d) => (d.action === "swap" ? [d.activation] : [])));
  const isSimulated = before.activations.some(({ name, swapMeasured }) => swapped.has(name) && !swapMeasured);
  return isSimulated ? " (copies simulated, beside the nodes)" : "";
}

/** A run in a few lines for a terminal: peak and time, predicted beside measured, before and after. */
export function runSummary(run: Run): string {
  const { before, plan, after } = run;
  const table = new Table({ head: ["", "unplanned", plan ? plan.planner : ""].slice(0, plan ? 3 : 2), style: plain });
  const planned = (text: string): string[] => (plan ? [text] : []);
  table.push(
    ["peak, predicted", formatBytes(before.arenaBytes), ...planned(formatBytes(plan?.peakBytes ?? 0))],
    [
      "peak, measured",
      formatBytes(before.allocatedBytes),
      ...planned(after ? formatBytes(after.allocatedBytes) : "not executed"),
    ],
    [
      "step, predicted",
      "",
      ...planned(formatMs((run.paired?.unplanned ?? before.step).medianMs + (plan?.addedMs ?? 0))),
    ],
    ...(run.paired
      ? [
          [
            "step, measured in turn",
            `${formatMs(run.paired.unplanned.medianMs)} ± ${formatMs(run.paired.unplanned.spreadMs)}`,
            `${formatMs(run.paired.planned.medianMs)} ± ${formatMs(run.paired.planned.spreadMs)}`,
          ],
        ]
      : []),
    [
      "step, measured",
      `${formatMs(before.step.medianMs)} ± ${formatMs(before.step.spreadMs)}`,
      ...planned(after ? `${formatMs(after.step.medianMs)} ± ${formatMs(after.step.spreadMs)}` : "not executed"),
    ],
  );
  const holders = before.peakHolders
    .slice(0, 5)
    .map((h) => `  ${formatBytes(h.bytes).padStart(11)}  ${h.category}  ${h.name}`);
  const lines = [
    `${run.model.file}: ${before.nodes.length} nodes, ${run.model.parameters.toLocaleString("en")} parameters, ${before.activations.length} saved activations`,
    ...run.model.notes.map((note) => `note: ${note}`),
    table.toString(),
    `peak at ${before.nodes[before.timeline.peakRank]?.name ?? "?"}; the largest there:`,
    ...holders,
  ];
  if (plan?.feasible)
    lines.push(
      `plan: ${decisionCounts(plan)}; ${formatPercent(1 - plan.peakBytes / before.arenaBytes)} less memory for ${formatMs(plan.addedMs)} more${copiesNote(run)}`,
    );
  if (run.equality)
    lines.push(
      run.equality.different.length
        ? `equality: ${run.equality.different.length} of ${run.equality.compared} tensors differ`
        : `equality: ${run.equality.compared} tensors are equal bit by bit`,
    );
  lines.push(...run.warnings.map((warning) => `warning: ${warning}`));
  return lines.join("\n");
}

/** A verification in a few lines for a terminal: what failed first, else the worst errors. */
export function verificationSummary(result: Verification): string {
  const worst = [...result.gradients].sort((a, z) => z.relativeError - a.relativeError).slice(0, 5);
  const table = new Table({ head: ["", "relative error", "limit"], style: plain });
  table.push(["loss", result.loss.relativeError.toExponential(1), "1e-4"]);
  for (const gradient of worst)
    table.push([`gradient ${gradient.name}`, gradient.relativeError.toExponential(1), "1e-3"]);
  for (const [name, curve] of Object.entries(result.curves))
    table.push([`curve ${name}`, curve.maxRelativeError.toExponential(1), "1e-3"]);
  const buffer = result.buffers.reduce((most, b) => Math.max(most, b.relativeError), 0);
  if (result.buffers.length)
    table.push([`${result.buffers.length} running statistics, worst`, buffer.toExponential(1), "not judged"]);
  return [
    table.toString(),
    ...result.missing.map((name) => `missing gradient: ${name}`),
    ...(result.float32
      ? [
          `computed in float64: rounding alone takes float32 as far as ${result.float32.gradient.toExponential(1)} (gradient) and ${result.float32.curve.toExponential(1)} (curve)`,
        ]
      : []),
    `${result.ok ? "ok" : "differs"}: ${result.model}, ${result.gradients.length} gradients`,
  ].join("\n");
}
