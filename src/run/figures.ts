import type { Run } from "./run.js";

/** A number that is known of a run. */
export interface Figure {
  /** As in `--assert`. */
  readonly name: string;
  readonly unit: "ms" | "bytes" | "count";
  /** What it is, as in help and tables. */
  readonly what: string;
  /** null where a run does not have it. */
  readonly of: (run: Run) => number | null;
}

/** The figures by which runs are compared, in the order in which they are shown. */
export const figures: readonly Figure[] = [
  { name: "stepMs", unit: "ms", what: "step", of: ({ before }) => before.step.medianMs },
  {
    name: "plannedStepMs",
    unit: "ms",
    what: "planned step",
    of: ({ after, paired }) => (paired?.planned ?? after?.step)?.medianMs ?? null,
  },
  {
    name: "predictedStepMs",
    unit: "ms",
    what: "planned step, predicted",
    of: ({ before, plan, paired }) => (plan ? (paired?.unplanned ?? before.step).medianMs + plan.addedMs : null),
  },
  { name: "addedMs", unit: "ms", what: "time that the plan adds, predicted", of: ({ plan }) => plan?.addedMs ?? null },
  { name: "nodesMs", unit: "ms", what: "sum of node times", of: ({ before }) => before.nodesMs },
  { name: "peakBytes", unit: "bytes", what: "peak (arena)", of: ({ before }) => before.arenaBytes },
  { name: "plannedPeakBytes", unit: "bytes", what: "planned peak (arena)", of: ({ plan }) => plan?.peakBytes ?? null },
  {
    name: "leastPeakBytes",
    unit: "bytes",
    what: "least peak of any plan",
    of: ({ plan }) => plan?.minimumPeakBytes ?? null,
  },
  {
    name: "residentBytes",
    unit: "bytes",
    what: "parameters, state, inputs",
    of: ({ before }) => before.timeline.residentBytes,
  },
  { name: "workspaceBytes", unit: "bytes", what: "largest workspace", of: ({ before }) => before.workspaceBytes },
  { name: "parameterBytes", unit: "bytes", what: "parameters", of: ({ model }) => model.parameterBytes },
  { name: "nodes", unit: "count", what: "nodes", of: ({ before }) => before.nodes.length },
  { name: "activations", unit: "count", what: "saved activations", of: ({ before }) => before.activations.length },
  { name: "decisions", unit: "count", what: "decisions", of: ({ plan }) => plan?.decisions.length ?? null },
];
