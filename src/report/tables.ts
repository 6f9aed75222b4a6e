import { perObject } from "../graph/memo.js";
import { sourceText } from "../graph/origins.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import type { Interval } from "../memory/peak-interval.js";
import type { Plan } from "../plan/plan.js";
import { branches, moduleTree } from "../run/module-tree.js";
import { modulesOf, moduleText, type NodeModule } from "../run/modules.js";
import { plannedRows, type Rows, unplannedRows, type Which } from "../run/planned-rows.js";
import type { PlannedActivationRow, PlannedNodeRow } from "../run/row-fields.js";
import type { Run } from "../run/run.js";
import type { TradeoffPoint } from "../run/tradeoff.js";
import { tensorText } from "../run/wiring.js";
import { json, listJson, recordJson } from "./cell-json.js";
import type { Cell, Column } from "./column.js";
import { csvText, parseCsvText } from "./csv.js";
import { danfo } from "./danfo.js";
import type { DataFrame } from "./data-frame.js";
import { moduleColumns } from "./module-columns.js";

export type { Cell, Column };

const sourceAt = ({ source }: NodeModule): string => (source ? sourceText(source) : "");

/** Columns of the node table (μ-TWO's table A) that a page shows. Names in a list are separated by spaces. */
const costColumns: readonly Column<PlannedNodeRow>[] = [
  { name: "rank", title: "rank", kind: "count", value: (row) => row.rank },
  { name: "node_name", title: "node", kind: "text", value: (row) => row.name },
  { name: "op", title: "op", kind: "text", value: (row) => row.op },
  { name: "phase", title: "phase", kind: "text", value: (row) => row.phase },
  { name: "gtype", title: "pass", kind: "text", value: (row) => row.gtype },
  {
    name: "module",
    title: "module",
    kind: "text",
    value: (row, run) => moduleText(modulesOf(run).ofNode(row.name).module),
  },
  { name: "source", title: "source", kind: "text", value: (row, run) => sourceAt(modulesOf(run).ofNode(row.name)) },
  { name: "median_run_time_ms", title: "time", kind: "ms", value: (row) => row.time.medianMs },
  { name: "avg_run_time_ms", title: "mean time", kind: "ms", value: (row) => row.time.meanMs },
  { name: "spread_ms", title: "spread", kind: "ms", value: (row) => row.time.spreadMs },
  { name: "samples", title: "samples", kind: "count", value: (row) => row.time.samplesMs.length },
  { name: "peak_mem_bytes", title: "live", kind: "bytes", value: (row) => row.liveBytes },
  { name: "active_mem_bytes", title: "active", kind: "bytes", value: (row) => row.activeBytes },
  { name: "workspace_bytes", title: "workspace", kind: "bytes", value: (row) => row.workspaceBytes },
  { name: "input_bytes", title: "inputs", kind: "bytes", value: (row) => row.inputBytes },
  { name: "output_bytes", title: "outputs", kind: "bytes", value: (row) => row.outputBytes },
  { name: "flops", title: "flops", kind: "count", value: (row) => row.flops },
  { name: "last_fw_uses", title: "last forward uses", kind: "text", value: (row) => row.lastForwardUses.join(" ") },
  {
    name: "first_bw_uses",
    title: "first backward uses",
    kind: "text",
    value: (row) => row.firstBackwardUses.join(" "),
  },
  { name: "to_offload", title: "offloaded after", kind: "text", value: (row) => row.toOffload.join(" ") },
  { name: "to_delete", title: "deleted after", kind: "text", value: (row) => row.toDelete.join(" ") },
  { name: "to_prefetch", title: "prefetched before", kind: "text", value: (row) => row.toPrefetch.join(" ") },
  { name: "to_recompute", title: "recomputed before", kind: "text", value: (row) => row.toRecompute.join(" ") },
  { name: "in_peak_interval", title: "over the budget", kind: "yes", value: (row) => row.inPeakInterval },
];

/**
 * Columns of the node table that say what the graph is, so that the tables alone suffice to plan (report/read-tables.ts):
 * JSON, since names may hold any character.
 */
const graphColumns: readonly Column<PlannedNodeRow>[] = [
  { name: "inputs", title: "inputs", kind: "text", value: (row) => listJson(row.inputs) },
  { name: "outputs", title: "outputs", kind: "text", value: (row) => listJson(row.outputs) },
  { name: "attributes", title: "attributes", kind: "text", value: (row) => json(row.attributes) },
  {
    name: "tensors",
    title: "tensors named first here",
    kind: "text",
    value: (row) => recordJson(row.tensors, (tensor) => [tensor.name, tensorText(tensor)]),
  },
  {
    name: "renews",
    title: "states renewed here",
    kind: "text",
    value: (row) => recordJson(row.renews, ({ before, after }) => [before, after]),
  },
  { name: "step_outputs", title: "outputs of the step", kind: "text", value: (row) => listJson(row.stepOutputs) },
];

/** Columns of the node table: what nodes cost, then what the graph is. */
export const nodeColumns = [...costColumns, ...graphColumns];

const ranks = ({ first, last }: Interval): string => `${first}-${last}`;

/** What a plan does with each activation that it decides on. */
const actionsOf = perObject(
  ({ decisions }: Plan): ReadonlyMap<string, string> =>
    new Map(decisions.map(({ activation, action }) => [activation, action])),
);

const decisionOf = (row: ActivationRow, { plan }: Run): string => (plan && actionsOf(plan).get(row.name)) ?? "keep";

/** Columns of the activation table (μ-TWO's table B). */
export const activationColumns: readonly Column<PlannedActivationRow>[] = [
  { name: "activation_name", title: "activation", kind: "text", value: (row) => row.name },
  { name: "producing_node_name", title: "made by", kind: "text", value: (row) => row.producer },
  { name: "module", title: "module", kind: "text", value: (row, run) => moduleText(modulesOf(run).ofTensor(row.name)) },
  { name: "shape", title: "shape", kind: "text", value: (row) => `${row.dtype}[${row.shape.join(",")}]` },
  { name: "memory_size_bytes", title: "size", kind: "bytes", value: (row) => row.memoryBytes },
  { name: "inactive_time_ms", title: "inactive", kind: "ms", value: (row) => row.inactiveMs },
  { name: "recomp_time_ms", title: "recompute", kind: "ms", value: (row) => row.recomputeMs },
  { name: "total_recomp_time_ms", title: "total recompute", kind: "ms", value: (row) => row.totalRecomputeMs },
  {
    name: "recompute_ratio_bytes_per_ms",
    title: "ratio (bytes/ms)",
    kind: "ratio",
    value: (row) => row.recomputeRatio,
  },
  { name: "recomp_memory_bytes", title: "recompute memory", kind: "bytes", value: (row) => row.recomputeBytes },
  { name: "recomp_cnt", title: "times recomputed", kind: "count", value: (row) => row.recomputeCount },
  { name: "recomp_srcs", title: "sources", kind: "text", value: (row) => row.recomputeSources.join(" ") },
  { name: "recomp_graph", title: "recomputed nodes", kind: "text", value: (row) => row.recomputeNodes.join(" ") },
  { name: "swap_time_ms", title: "swap (simulated unless measured)", kind: "ms", value: (row) => row.swapMs },
  { name: "swap_out_time_ms", title: "swap to the host", kind: "ms", value: (row) => row.swapOutMs },
  { name: "swap_in_time_ms", title: "swap to the device", kind: "ms", value: (row) => row.swapInMs },
  { name: "swap_time_measured", title: "swap measured", kind: "yes", value: (row) => row.swapMeasured },
  { name: "creation_rank", title: "created", kind: "count", value: (row) => row.createdRank },
  { name: "first_fw_access_rank", title: "first forward", kind: "count", value: (row) => row.firstForwardAccess },
  { name: "last_fw_access_rank", title: "last forward", kind: "count", value: (row) => row.lastForwardAccess },
  { name: "first_bw_access_rank", title: "first backward", kind: "count", value: (row) => row.firstBackwardAccess },
  { name: "last_bw_access_rank", title: "last backward", kind: "count", value: (row) => row.lastBackwardAccess },
  { name: "active_fw_interval", title: "resident forward", kind: "text", value: (row) => ranks(row.activeForward) },
  { name: "active_bw_interval", title: "resident backward", kind: "text", value: (row) => ranks(row.activeBackward) },
  { name: "prefetch_prompt", title: "prefetch prompt", kind: "text", value: (row) => row.prefetchPrompt ?? "" },
  { name: "fixed", title: "cannot be recomputed", kind: "text", value: (row) => row.fixed ?? "" },
  { name: "idle_at_peak", title: "idle at peak", kind: "yes", value: (row) => row.idleAtPeak },
  { name: "in_peak_interval", title: "in the peak interval", kind: "yes", value: (row) => row.inPeakInterval },
  { name: "decision", title: "decision", kind: "text", value: decisionOf },
];

/** Columns of a sweep over budgets. */
const tradeoffColumns: readonly Column<TradeoffPoint>[] = [
  { name: "planner", title: "planner", kind: "text", value: (row) => row.planner },
  { name: "budget_bytes", title: "budget", kind: "bytes", value: (row) => row.budgetBytes },
  { name: "peak_bytes", title: "peak", kind: "bytes", value: (row) => row.peakBytes },
  { name: "host_bytes", title: "on the host", kind: "bytes", value: (row) => row.hostBytes },
  { name: "added_time_ms", title: "added time", kind: "ms", value: (row) => row.addedMs },
  { name: "step_time_ms", title: "step", kind: "ms", value: (row, run) => run.before.step.medianMs + row.addedMs },
  { name: "bound_added_time_ms", title: "bound", kind: "ms", value: (row) => row.boundMs ?? null },
  { name: "copies_simulated", title: "copies simulated", kind: "yes", value: (row) => row.copiesSimulated },
];

/** Built by column: danfo takes row objects by position, and cannot take empty columns. */
function frame<Row>(columns: readonly Column<Row>[], rows: readonly Row[], run: Run): DataFrame {
  const { DataFrame: Frame } = danfo();
  const names = columns.map((column) => headingOf(column, run));
  if (rows.length === 0) return new Frame([], { columns: names });
  const cells = columns.map((column) => cellsOf(column, rows, run).map((cell) => cell ?? Number.NaN));
  return new Frame(Object.fromEntries(cells.map((column, i) => [names[i], column])), {
    dtypes: columns.map(({ kind }, i) => dtypeOf(kind, cells[i] as Cell[])),
  });
}

/** By what a column holds, not by its first values as danfo does: a time of 0 would be a whole number. */
function dtypeOf(kind: Column<never>["kind"], cells: readonly Cell[]): string {
  if (kind === "text") return "string";
  if (kind === "yes") return "boolean";
  const isWhole = kind === "count" || kind === "bytes";
  return isWhole && cells.every((cell) => Number.isInteger(cell)) ? "int32" : "float32";
}

/** A column's name in CSV files and DataFrames: a time that was estimated says so. */
const headingOf = ({ name, kind }: Pick<Column<never>, "name" | "kind">, { before }: Run): string =>
  before.estimated && (isTime(kind) || name === "time_percent") ? `${estimatedPrefix}${name}` : name;

/** What names of columns begin with that hold estimated times. */
export const estimatedPrefix = "estimated_";

const isTime = (kind: Column<never>["kind"]): boolean => kind === "ms" || kind === "ratio";

const csv = <Row>(columns: readonly Column<Row>[], rows: readonly Row[], run: Run): string =>
  csvText({
    fields: columns.map((column) => headingOf(column, run)),
    columns: columns.map(
      (column) =>
        madeCells(run).get(rows)?.get(column) ?? {
          length: rows.length,
          slice: (start, end) => rows.slice(start, end).map((row) => column.value(row, run)),
        },
    ),
  });

/** Cells that were made for one of a run's tables, by rows and column. */
const madeCells = perObject((_: Run): Map<unknown, Map<unknown, readonly Cell[]>> => new Map());

/** A column's cells, made once: page and DataFrame show the same, and CSV has what they have made. */
function cellsOf<Row>(column: Column<Row>, rows: readonly Row[], run: Run): readonly Cell[] {
  const made = madeCells(run);
  const known = made.get(rows) ?? new Map<unknown, readonly Cell[]>();
  made.set(rows, known);
  const cells = known.get(column) ?? rows.map((row) => column.value(row, run));
  known.set(column, cells);
  return cells;
}

/** Both tables of a run's steps. */
export function rowsOf(run: Run, which: Which): Rows {
  const rows = which === "unplanned" ? unplannedRows(run) : plannedRows(run);
  if (!rows) throw new Error("run has no plan: planned tables (plan with --budget 4GiB)");
  return rows;
}

/**
 * A step's node table as a danfo DataFrame: a row a node, in schedule order; of the unplanned step, or of the planned one
 * with its hints (times predicted where it was not executed). Throws `run has no plan: …`.
 */
export const nodeTable = (run: Run, which: Which = "unplanned"): DataFrame =>
  frame(nodeColumns, rowsOf(run, which).nodes, run);

/**
 * The activation table as a danfo DataFrame: a row a saved activation, in the order in which they are made; before
 * planning, or with what the plan makes of them: how often each is made again, and where it is. Throws `run has no plan: …`.
 */
export const activationTable = (run: Run, which: Which = "unplanned"): DataFrame =>
  frame(activationColumns, rowsOf(run, which).activations, run);

/**
 * The module table as a danfo DataFrame: a row a module, each before those inside of it, the whole step first; of the
 * unplanned step, or of the planned one. Rows hold what is inside of a module too, so they do not add up; `own_…` columns do.
 * Throws `run has no plan: …`.
 */
export const moduleTable = (run: Run, which: Which = "unplanned"): DataFrame =>
  frame(moduleColumns, branches(moduleTree(run, which).root), run);

/** The node table as CSV text, with a header line. */
export const nodeCsv = (run: Run, which: Which = "unplanned"): string =>
  csv(nodeColumns, rowsOf(run, which).nodes, run);

/** The activation table as CSV text, with a header line. */
export const activationCsv = (run: Run, which: Which = "unplanned"): string =>
  csv(activationColumns, rowsOf(run, which).activations, run);

/** The module table as CSV text, with a header line. */
export const moduleCsv = (run: Run, which: Which = "unplanned"): string =>
  csv(moduleColumns, branches(moduleTree(run, which).root), run);

/** The sweep over budgets as CSV text, with a header line: all times are predicted. */
export const tradeoffCsv = (run: Run): string => csv(tradeoffColumns, run.tradeoff ?? [], run);

/** A column of a table of the report's page: what it is called, how its cells are written, and all of them. */
export interface PageColumn extends Pick<Column<never>, "title" | "kind" | "name"> {
  readonly values: readonly Cell[];
}

/** A table for the report's page, by columns: what is alike stands together. */
export interface PageTable {
  /** Rows. */
  readonly count: number;
  readonly columns: readonly PageColumn[];
}

/** A table for the page of what its rows hold. */
export const pageTableOf = <Row>(
  columns: readonly (Omit<PageColumn, "values"> & { readonly value: (row: Row, index: number) => Cell })[],
  rows: readonly Row[],
): PageTable => ({
  count: rows.length,
  columns: columns.map(({ value, ...column }) => ({ ...column, values: rows.map(value) })),
});

const pageTable = <Row>(columns: readonly Column<Row>[], rows: readonly Row[], run: Run): PageTable => ({
  count: rows.length,
  columns: columns.map((column) => {
    const { title, kind, name } = column;
    const isEstimated = run.before.estimated && isTime(kind);
    return {
      title: isEstimated ? `estimated ${title.replace(" (simulated unless measured)", "")}` : title,
      kind,
      name,
      values: cellsOf(column, rows, run),
    };
  }),
});

/** The tables of the report's page, by the name that a grid's `data-table` has there. */
export const pageTables = (run: Run): Readonly<Record<string, PageTable>> => ({
  nodes: pageTable(costColumns, rowsOf(run, "unplanned").nodes, run),
  activations: pageTable(activationColumns, rowsOf(run, "unplanned").activations, run),
  ...(run.plan && {
    plannedNodes: pageTable(costColumns, rowsOf(run, "planned").nodes, run),
    plannedActivations: pageTable(activationColumns, rowsOf(run, "planned").activations, run),
  }),
});

/**
 * Reads one of the tables back from CSV text, by the declarations that wrote it: one object a row, with numbers and
 * booleans where the column holds them; estimated times have the names of measured ones. Throws `column missing: …` or `row … has no number in …`.
 */
export function parseCsv<Row>(columns: readonly Column<Row>[], text: string): Record<string, Cell>[] {
  const { fields, rows } = parseCsvText(text);
  const headings = new Map(
    columns.map(({ name }) => [name, [name, `${estimatedPrefix}${name}`].find((one) => fields.includes(one))]),
  );
  for (const { name } of columns) if (!headings.get(name)) throw new Error(`column missing: ${name}`);
  return rows.map((row, index) =>
    Object.fromEntries(
      columns.map(({ name, kind }): [string, Cell] => {
        const cell = row.get(headings.get(name) ?? "") ?? "";
        if (kind === "text") return [name, cell];
        if (kind === "yes") return [name, cell === "" ? null : cell === "true"];
        if (cell !== "" && !Number.isFinite(Number(cell)))
          throw new Error(`row ${index + 1} has no number in ${name}: ${cell}`);
        return [name, cell === "" ? null : Number(cell)];
      }),
    ),
  );
}
