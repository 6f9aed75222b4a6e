import { formatBytes, formatMs, formatPercent } from "../format.js";
import type { Profile } from "../run/profile.js";
import type { ProcessPeak, Run } from "../run/run.js";
import type { Samples } from "../run/samples.js";
import type { DeviceMemory } from "../runtime/runtime.js";
import { allocated, estimatedMark, estimatedTime, nodesSum, recordedMark, stepTime } from "./sentences.js";

/** Where a comparison is read: the terminal's is shorter. */
type Place = "terminal" | "report";

/** One row of the comparison. */
interface Row {
  /** What the row is called in each place where it shows. */
  readonly terminal?: string;
  readonly report?: string;
  /** Of the unplanned step; undefined where a run has no such row. */
  readonly before: (run: Run, place: Place) => string | undefined;
  /** Of the planned step; undefined if it was not executed. */
  readonly after: (run: Run, place: Place) => string | undefined;
  /** A detail: the terminal shows it only where steps are captured (on a GPU). */
  readonly detail?: true;
}

const spread = (samples: Samples): string => `${formatMs(samples.medianMs)} ± ${formatMs(samples.spreadMs)}`;

/** The same text of either step's profile. */
const measured = (cell: (profile: Profile) => string | undefined): Pick<Row, "before" | "after"> => ({
  before: ({ before }) => cell(before),
  after: ({ after }) => (after ? cell(after) : undefined),
});

const held = (key: keyof DeviceMemory) =>
  measured(({ memory }) => {
    const bytes = memory?.[key];
    return bytes === undefined ? undefined : formatBytes(bytes);
  });

/** What was done when the process held most. */
const stages: Readonly<Record<ProcessPeak["stage"], string>> = {
  profile: "in the first steps, which try algorithms",
  "execute plan": "while the planned step was measured",
  compare: "while both steps ran in turn",
};

const inTurn: Pick<Row, "before" | "after"> = {
  before: ({ paired }) => (paired ? spread(paired.unplanned) : undefined),
  after: ({ paired }) => (paired ? spread(paired.planned) : undefined),
};

const launched = (profile: Profile, samples: Samples, place: Place): string =>
  place === "terminal" ? formatMs(samples.medianMs) : `${spread(samples)}${recordedMark(profile)}`;

/** All rows of both places, in their order. */
const rows: readonly Row[] = [
  {
    terminal: "peak, predicted",
    report: "peak, predicted (arena)",
    before: ({ before }) => formatBytes(before.arenaBytes),
    after: ({ plan }) => (plan ? formatBytes(plan.peakBytes) : ""),
  },
  { terminal: "peak, measured", report: "peak, measured (allocated)", ...measured(allocated) },
  {
    report: "peak by the timeline alone",
    before: ({ before }) => formatBytes(before.timeline.peakBytes),
    after: ({ plan }) => (plan ? formatBytes(plan.timelinePeakBytes) : ""),
  },
  {
    report: "layout waste (arena over timeline)",
    ...measured(({ arenaBytes, timeline }) => formatPercent(arenaBytes / timeline.peakBytes - 1)),
  },
  {
    terminal: "step, predicted",
    report: "step, predicted",
    before: ({ before }) => estimatedTime(before) ?? "",
    after: ({ plan, paired, before }) =>
      plan ? formatMs((paired?.unplanned ?? before.step).medianMs + plan.addedMs) + estimatedMark(before) : "",
  },
  { terminal: "step, measured in turn", ...inTurn },
  { terminal: "step, measured", report: "step, measured (median ± spread)", ...measured(stepTime) },
  { report: "step, measured in turn", ...inTurn },
  {
    terminal: "step, launched by the host",
    report: "step launched by the host, not captured",
    detail: true,
    before: ({ before, before: { eagerStep } }, place) => (eagerStep ? launched(before, eagerStep, place) : undefined),
    after: ({ after }, place) => (after?.eagerStep ? launched(after, after.eagerStep, place) : after ? "" : undefined),
  },
  {
    terminal: "sum of node times",
    report: "sum of node times (against the step)",
    detail: true,
    ...measured(nodesSum),
  },
  {
    report: "largest workspace of one kernel",
    ...measured(({ workspaceBytes }) => (workspaceBytes === null ? "not measured" : formatBytes(workspaceBytes))),
  },
  { terminal: "values, allocated", report: "device: values (the arena)", detail: true, ...held("valuesBytes") },
  { terminal: "workspace of kernels", report: "device: workspace of kernels", detail: true, ...held("workspaceBytes") },
  { terminal: "context and libraries", report: "device: context and libraries", detail: true, ...held("contextBytes") },
  {
    terminal: "kernels' code",
    report: "device: code of kernels, workspaces of libraries",
    detail: true,
    ...held("kernelsBytes"),
  },
  { terminal: "captured graphs", report: "device: captured graphs", detail: true, ...held("graphsBytes") },
  { terminal: "other", report: "device: other (small pieces, rounding to pages)", detail: true, ...held("otherBytes") },
  { terminal: "process in all", report: "device: the process in all", detail: true, ...held("processBytes") },
  {
    terminal: "process at most",
    report: "device: the most that the process held until the run was made",
    detail: true,
    before: ({ processPeak }) => processPeak && `${formatBytes(processPeak.bytes)} (${stages[processPeak.stage]})`,
    after: () => "",
  },
  { report: "host: pinned for swapped tensors", ...held("hostBytes") },
];

/** The table that sets predicted beside measured, before beside after: its rows as one place shows them. */
export function comparison(run: Run, place: Place): { what: string; before: string; after: string }[] {
  const isDetailed = place === "report" || run.before.eagerStep !== null;
  return rows.flatMap((row) => {
    const what = row[place];
    const before = row.before(run, place);
    if (what === undefined || before === undefined || (row.detail && !isDetailed)) return [];
    const unexecuted = row.detail && place === "terminal" ? "" : "not executed";
    return [{ what, before, after: row.after(run, place) ?? unexecuted }];
  });
}
