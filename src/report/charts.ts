import { formatBytes } from "../format.js";
import { categories, type Phase, phases } from "../graph/graph.js";
import type { NodeRow } from "../run/node-rows.js";
import type { Profile } from "../run/profile.js";
import type { Run } from "../run/run.js";
import {
  actionColors,
  bars,
  bytesAxis,
  categoryColors,
  type Figure,
  figure,
  largest,
  mib,
  phaseBorders,
  phaseColors,
  rankAxis,
  shorten,
  timed,
} from "./figure.js";
import { timeByModule } from "./module-view.js";
import { actionOf, liveRanges, sizeIdle } from "./ranges.js";
import { roofline, timeByPhase } from "./roofline.js";
import { swapLanes } from "./swap-lanes.js";
import { togetherLanes } from "./together-lanes.js";
import { tradeoff } from "./tradeoff.js";

export { timeByModule } from "./module-view.js";
export { liveRanges, sizeIdle } from "./ranges.js";
export { roofline, timeByPhase } from "./roofline.js";
export { swapLanes } from "./swap-lanes.js";
export { sweepFront, sweepPeak, sweepTime } from "./sweep-figures.js";
export { tradeoff } from "./tradeoff.js";

function timelineOf(profile: Profile, title: string, budgetBytes: number | null): Figure {
  const { timeline, nodes } = profile;
  const { shapes, annotations } = phaseBorders(nodes);
  const data = categories
    .filter((category) => timeline.byCategory[category].some((bytes) => bytes > 0))
    .map((category) => ({
      type: "scatter",
      mode: "lines",
      stackgroup: "memory",
      name: category,
      line: { width: 0, shape: "hv", color: categoryColors[category] },
      fillcolor: categoryColors[category],
      y: timeline.byCategory[category].map(mib),
      text: nodes.map((node) => `${node.name} (${node.op})`),
      hovertemplate: "%{text}<br>%{y:.2f} MiB",
    }));
  const budget =
    budgetBytes === null
      ? { shapes: [], annotations: [] }
      : {
          shapes: [
            {
              type: "line",
              xref: "paper",
              x0: 0,
              x1: 1,
              y0: mib(budgetBytes),
              y1: mib(budgetBytes),
              line: { color: "#C00", width: 2, dash: "dash" },
            },
          ],
          annotations: [
            {
              xref: "paper",
              x: 1,
              xanchor: "right",
              y: mib(budgetBytes),
              yanchor: "bottom",
              text: `budget ${formatBytes(budgetBytes)}`,
              showarrow: false,
              font: { color: "#C00" },
            },
          ],
        };
  return figure(title, rankAxis, bytesAxis, data, {
    shapes: [...shapes, ...budget.shapes],
    annotations: [...annotations, ...budget.annotations],
  });
}

/** Live memory of the unplanned step by category against schedule order, with phase borders and the budget. */
export const memoryTimeline = (run: Run): Figure =>
  timelineOf(
    run.before,
    `Memory of the unplanned step: peak ${formatBytes(run.before.timeline.peakBytes)}`,
    run.plan?.budgetBytes ?? null,
  );

/** The same of the planned step; null if it was not executed. */
export const plannedTimeline = (run: Run): Figure | null =>
  run.after &&
  timelineOf(
    run.after,
    `Memory of the planned step: peak ${formatBytes(run.after.timeline.peakBytes)}`,
    run.plan?.budgetBytes ?? null,
  );

/** Who holds the memory at the unplanned step's peak. */
export const peakHolders = (run: Run): Figure =>
  bars(
    `Who holds the peak, at node ${shorten(run.before.nodes[run.before.timeline.peakRank]?.name ?? "?")}`,
    "MiB",
    run.before.peakHolders,
    (holder) => `${holder.name} (${holder.category})`,
    (holder) => mib(holder.bytes),
    (holder) => categoryColors[holder.category],
  );

/** Points of all nodes against schedule order, coloured by phase. */
function byRank(run: Run, title: string, unit: string, value: (row: NodeRow) => number, log = false): Figure {
  const { nodes } = run.before;
  const { shown, note } = largest(nodes, (row) => value(row) || 0);
  const data = phases.map((phase) => {
    const rows = shown.filter((row) => row.phase === phase);
    return {
      type: "scatter",
      mode: "markers",
      name: phase,
      x: rows.map((row) => row.rank),
      y: rows.map(value),
      text: rows.map((row) => `${row.name} (${row.op})`),
      hovertemplate: `%{text}<br>%{y:.4g} ${unit}`,
      marker: { size: 5, color: phaseColors[phase] },
    };
  });
  return figure(
    title + note,
    rankAxis,
    log ? { title: { text: unit }, type: "log" } : { title: { text: unit }, rangemode: "tozero" },
    data,
    phaseBorders(nodes),
  );
}

/** Median time of each node. Views take no time and are left out. */
export const nodeRunTime = (run: Run): Figure =>
  byRank(
    run,
    timed(run, "Run time of each node (median)"),
    timed(run, "ms"),
    (row) => (row.time.medianMs > 0 ? row.time.medianMs : Number.NaN),
    true,
  );

/** Live bytes while each node runs. */
export const nodePeakMemory = (run: Run): Figure =>
  byRank(run, "Live memory while each node runs", "MiB", (row) => mib(row.liveBytes));

/** Time by op, summed. */
export function timeByOp(run: Run): Figure {
  const sums = new Map<string, { op: string; phase: Phase; ms: number }>();
  for (const { op, phase, time } of run.before.nodes) {
    const key = `${op}, ${phase}`;
    const sum = sums.get(key) ?? { op, phase, ms: 0 };
    sum.ms += time.medianMs;
    sums.set(key, sum);
  }
  return bars(
    timed(run, "Time by op and phase"),
    timed(run, "ms"),
    [...sums].filter(([, sum]) => sum.ms > 0),
    ([key]) => key,
    ([, sum]) => sum.ms,
    ([, sum]) => phaseColors[sum.phase],
  );
}

const decidedColor = (run: Run): ((row: { name: string }) => string) => {
  const action = actionOf(run);
  return ({ name }) => actionColors[action(name)];
};

/** Size of each saved activation; those that the plan recomputes and those that it swaps in other colours. */
export const activationSize = (run: Run): Figure =>
  bars(
    "Size of saved activations",
    "MiB",
    run.before.activations,
    (row) => row.name,
    (row) => mib(row.memoryBytes),
    decidedColor(run),
  );

/** Time between last forward and first backward use of each saved activation. */
export const activationInactiveTime = (run: Run): Figure =>
  bars(
    timed(run, "Inactive time of saved activations"),
    timed(run, "ms"),
    run.before.activations,
    (row) => row.name,
    (row) => row.inactiveMs,
    decidedColor(run),
  );

/** What was allocated, MiB; nothing for what was not executed. */
const allocatedMib = ({ allocatedBytes }: Profile): number | undefined =>
  allocatedBytes ? mib(allocatedBytes) : undefined;

/** Predicted beside measured: peak and step time, before and after the plan. */
export function predictedMeasured(run: Run): Figure {
  const { before, plan, after } = run;
  const names = after || (before.estimated && plan?.feasible) ? ["unplanned", "planned"] : ["unplanned"];
  const unplannedMs = run.paired?.unplanned.medianMs ?? before.step.medianMs;
  const bar = (name: string, color: string, axis: string, values: readonly (number | undefined)[]) => ({
    type: "bar",
    name,
    x: names,
    y: values.slice(0, names.length),
    yaxis: axis === "y" ? "y" : "y2",
    xaxis: axis === "y" ? "x" : "x2",
    marker: { color },
    showlegend: axis === "y",
  });
  const series = [
    bar("predicted", "#56B4E9", "y", [mib(before.arenaBytes), plan ? mib(plan.peakBytes) : undefined]),
    bar("measured", "#0072B2", "y", [allocatedMib(before), after ? allocatedMib(after) : undefined]),
    bar("predicted", "#56B4E9", "y2", [
      before.estimated ? unplannedMs : undefined,
      plan ? unplannedMs + plan.addedMs : undefined,
    ]),
    bar("measured", "#0072B2", "y2", [unplannedMs, run.paired?.planned.medianMs]),
  ];
  return figure(
    before.estimated ? "Predicted: times estimated, nothing measured" : "Predicted and measured",
    { domain: [0, 0.44] },
    { title: { text: "peak, MiB" }, rangemode: "tozero" },
    before.estimated ? series.filter(({ name }) => name === "predicted") : series,
    {
      xaxis2: { domain: [0.56, 1], anchor: "y2" },
      yaxis2: {
        title: { text: timed(run, "step, ms") },
        anchor: "x2",
        rangemode: "tozero",
        gridcolor: "#eee",
      },
      barmode: "group",
    },
  );
}

/** The plots that are written as `profiler_plots_<name>.png`; null leaves one out. */
export const plots: Readonly<Record<string, (run: Run) => Figure | null>> = {
  node_run_time: nodeRunTime,
  node_peak_memory: nodePeakMemory,
  activation_size: activationSize,
  activation_inactive_time: activationInactiveTime,
  memory_timeline: memoryTimeline,
  tradeoff,
};

/** The figures of the report's page, by the name that a chart has in a partial; null leaves the chart out. */
export const pageFigures = (run: Run): Readonly<Record<string, Figure | null>> => ({
  predicted: predictedMeasured(run),
  byModule: timeByModule(run),
  byPhase: timeByPhase(run),
  byOp: timeByOp(run),
  runTime: nodeRunTime(run),
  roofline: roofline(run),
  liveRanges: liveRanges(run),
  sizeIdle: sizeIdle(run),
  lanes: swapLanes(run),
  tradeoff: tradeoff(run),
  togetherLanes: togetherLanes(run),
});
