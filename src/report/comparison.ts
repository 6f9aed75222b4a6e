import { formatBytes, formatMs, formatPercent } from "../format.js";
import type { Profile } from "../run/profile.js";
import type { Run } from "../run/run.js";
import type { Samples } from "../run/samples.js";
import type { DeviceMemory } from "../runtime/runtime.js";
import { allocated, nodesSum, stepTime } from "./sentences.js";

const spread = (samples: Samples): string => `${formatMs(samples.medianMs)} ± ${formatMs(samples.spreadMs)}`;

/** Rows of the table at the top: predicted beside measured, before and after. */
export function comparison(run: Run): { what: string; before: string; after: string }[] {
  const { before, plan, after } = run;
  const planned = (profile: ((p: Profile) => string) | string): string =>
    typeof profile === "string" ? profile : after ? profile(after) : "not executed";
  const workspace = (p: Profile): string =>
    p.workspaceBytes === null ? "not measured" : formatBytes(p.workspaceBytes);
  const waste = (p: Profile): string => formatPercent(p.arenaBytes / p.timeline.peakBytes - 1);
  return [
    {
      what: "peak, predicted (arena)",
      before: formatBytes(before.arenaBytes),
      after: planned(plan ? formatBytes(plan.peakBytes) : ""),
    },
    {
      what: "peak, measured (allocated)",
      before: allocated(before),
      after: planned(allocated),
    },
    {
      what: "peak by the timeline alone",
      before: formatBytes(before.timeline.peakBytes),
      after: planned(plan ? formatBytes(plan.timelinePeakBytes) : ""),
    },
    { what: "layout waste (arena over timeline)", before: waste(before), after: planned(waste) },
    {
      what: "step, predicted",
      before: "",
      after: planned(plan ? formatMs((run.paired?.unplanned ?? before.step).medianMs + plan.addedMs) : ""),
    },
    {
      what: "step, measured (median ± spread)",
      before: stepTime(before),
      after: planned(stepTime),
    },
    ...(run.paired
      ? [{ what: "step, measured in turn", before: spread(run.paired.unplanned), after: spread(run.paired.planned) }]
      : []),
    ...(before.eagerStep
      ? [
          {
            what: "step launched by the host, not captured",
            before: spread(before.eagerStep),
            after: planned((p) => (p.eagerStep ? spread(p.eagerStep) : "")),
          },
        ]
      : []),
    { what: "sum of node times (against the step)", before: nodesSum(before), after: planned(nodesSum) },
    { what: "largest workspace of one kernel", before: workspace(before), after: planned(workspace) },
    ...memoryRows(before, after),
  ];
}

/** What the device holds, told apart. */
function memoryRows(before: Profile, after: Profile | null): { what: string; before: string; after: string }[] {
  const { memory } = before;
  if (!memory) return [];
  const rows: [string, keyof DeviceMemory][] = [
    ["device: values (the arena)", "valuesBytes"],
    ["device: workspace of kernels", "workspaceBytes"],
    ["device: context and libraries", "contextBytes"],
    ["device: the process in all", "processBytes"],
    ["host: pinned for swapped tensors", "hostBytes"],
  ];
  return rows.map(([what, key]) => ({
    what,
    before: formatBytes(memory[key]),
    after: after?.memory ? formatBytes(after.memory[key]) : "not executed",
  }));
}
