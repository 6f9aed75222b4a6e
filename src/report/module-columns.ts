import { sourceText } from "../graph/origins.js";
import type { ModuleBranch } from "../run/module-tree.js";
import { moduleText } from "../run/modules.js";
import type { Column } from "./column.js";

type ModuleColumn = Column<ModuleBranch>;

const bytesAtPeak = (...categories: readonly (keyof ModuleBranch["total"]["peakBytesBy"])[]): ModuleColumn["value"] => {
  return ({ total }) => categories.reduce((sum, category) => sum + total.peakBytesBy[category], 0);
};

/** A share as percent, without the last digits of a sum. */
const percent = (share: number): number => Math.round(1e6 * share) / 1e4;

/**
 * Columns of the module table: a row a module with all that is inside of it, `own_…` without. Times are sums of nodes' times,
 * bytes are those live at the peak; the first row is the whole step.
 */
export const moduleColumns: readonly ModuleColumn[] = [
  { name: "module", title: "module", kind: "text", value: ({ path }) => moduleText(path) },
  { name: "class", title: "class", kind: "text", value: (row) => row.class ?? "" },
  { name: "source", title: "source", kind: "text", value: ({ source }) => (source ? sourceText(source) : "") },
  { name: "nodes", title: "nodes", kind: "count", value: ({ total }) => total.nodes },
  { name: "time_ms", title: "time", kind: "ms", value: ({ total }) => total.ms },
  { name: "own_time_ms", title: "own time", kind: "ms", value: ({ own }) => own.ms },
  { name: "time_percent", title: "% of the time", kind: "percent", value: ({ total }) => percent(total.timeShare) },
  { name: "forward_ms", title: "forward", kind: "ms", value: ({ total }) => total.phaseMs.forward },
  { name: "loss_ms", title: "loss", kind: "ms", value: ({ total }) => total.phaseMs.loss },
  { name: "backward_ms", title: "backward", kind: "ms", value: ({ total }) => total.phaseMs.backward },
  { name: "update_ms", title: "update", kind: "ms", value: ({ total }) => total.phaseMs.update },
  { name: "peak_bytes", title: "at the peak", kind: "bytes", value: ({ total }) => total.peakBytes },
  { name: "own_peak_bytes", title: "own at the peak", kind: "bytes", value: ({ own }) => own.peakBytes },
  { name: "peak_percent", title: "% of the peak", kind: "percent", value: ({ total }) => percent(total.peakShare) },
  { name: "parameter_bytes", title: "parameters", kind: "bytes", value: bytesAtPeak("parameter") },
  { name: "gradient_bytes", title: "gradients", kind: "bytes", value: bytesAtPeak("gradient") },
  { name: "optimizer_state_bytes", title: "optimizer state", kind: "bytes", value: bytesAtPeak("optimizer state") },
  { name: "activation_bytes", title: "activations", kind: "bytes", value: bytesAtPeak("activation") },
  { name: "temporary_bytes", title: "temporaries", kind: "bytes", value: bytesAtPeak("temporary") },
  {
    name: "other_bytes",
    title: "inputs and constants",
    kind: "bytes",
    value: bytesAtPeak("input", "buffer", "constant"),
  },
  { name: "saved_activations", title: "saved activations", kind: "count", value: ({ total }) => total.saved },
  { name: "saved_activation_bytes", title: "saved", kind: "bytes", value: ({ total }) => total.savedBytes },
  { name: "recomputed", title: "recomputed", kind: "count", value: ({ total }) => total.recomputed },
  { name: "swapped", title: "swapped", kind: "count", value: ({ total }) => total.swapped },
  { name: "plan_freed_bytes", title: "freed by the plan", kind: "bytes", value: ({ total }) => total.freedBytes },
  { name: "plan_added_ms", title: "added by the plan", kind: "ms", value: ({ total }) => total.addedMs },
];
