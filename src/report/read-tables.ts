import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import { type Attributes, categories, elementCount, type Phase, producers, tensorBytes } from "../graph/graph.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import { layout } from "../memory/layout.js";
import { environment } from "../run/environment.js";
import { tables } from "../run/node-rows.js";
import type { Profile } from "../run/profile.js";
import { loadGraph, newRunId, type Run, runFile, runFormatVersion, type SavedGraph } from "../run/run.js";
import type { Samples } from "../run/samples.js";
import { parseTensor, unwire, type WiredNode } from "../run/wiring.js";
import type { CopyTime } from "../runtime/runtime.js";
import { type Cells, isText, json, names, number, texts } from "./cells.js";
import { originsOfRows } from "./read-origins.js";
import { activationColumns, type Cell, estimatedPrefix, nodeColumns, parseCsv } from "./tables.js";

/** How files of the two tables are called: the ends of their names. */
const pairs = [
  ["node_stats.csv", "activation_stats.csv"],
  ["nodes.csv", "activations.csv"],
] as const;

/** Names of a run's node table in its folder. */
const inFolder = ["nodes.csv", "profiler_stats_node_stats.csv"];

/** The node table that a path names: the file itself, or the one in a folder without run.json; undefined for a run.json. */
export function tableFile(place: string): string | undefined {
  if (place.endsWith(".csv")) return place;
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory() || existsSync(runFile(place))) return undefined;
  return inFolder.map((name) => path.join(place, name)).find((file) => existsSync(file));
}

/** The activation table beside a node table. */
function tableBeside(nodes: string): string {
  const name = path.basename(nodes);
  if (name.startsWith("planned-"))
    throw new Error(`tables of a planned step: ${nodes} (name ${inFolder.join(" or ")})`);
  const [own, other] = pairs.find(([end]) => name.endsWith(end)) ?? [];
  if (!own) throw new Error(`not a node table: ${nodes} (name one that ends in nodes.csv or node_stats.csv)`);
  return path.join(path.dirname(nodes), name.slice(0, -own.length) + other);
}

/**
 * The run that a node table and the activation table beside it describe: enough to plan, and no more. Its graph lacks the
 * values of constants, and its step's time is the sum of its nodes'. Throws one line that names the file, and the row and
 * column, for a file that is not there, a column that is missing, a cell that cannot be read, or rows that contradict
 * each other.
 */
export function readTables(nodes: string): Run {
  const activations = tableBeside(nodes);
  const text = readText("table", nodes);
  const rows = readText("table", activations);
  const { graph, times, costs } = inFile(nodes, () => nodesOf(path.basename(nodes), text));
  const loaded = loadGraph(graph);
  const derived = inFile(nodes, () => tables(loaded, times, null, null));
  const filled = inFile(nodes, () => filledNodes(derived.nodes, costs));
  const read = inFile(activations, () => activationsOf(derived.activations, rows));
  const estimated = text.slice(0, text.indexOf("\n")).includes(estimatedPrefix);
  const workspaces = filled.flatMap(({ workspaceBytes }) => workspaceBytes ?? []);
  const made = producers(loaded);
  // slices of flat buffers and next values are not counted again
  const parameters = graph.tensors.filter((t) => t.category === "parameter" && !t.within && !made.has(t.name));
  const device = { name: "unknown", threads: 0, memoryBytes: 0, runtimeVersion: "unknown" };
  const before: Profile = {
    ...derived,
    backend: "tables",
    device,
    warmups: 0,
    iterations: 0,
    nodes: filled,
    activations: read.rows,
    arenaBytes: layout(loaded).arenaBytes,
    allocatedBytes: 0,
    workspaceBytes: workspaces.length ? workspaces.reduce((most, bytes) => Math.max(most, bytes), 0) : null,
    step: known(derived.nodesMs),
    ...(estimated ? { estimated } : { simulated: true }),
    eagerStep: null,
    memory: null,
    copies: estimated || read.rows.some(({ swapMeasured }) => swapMeasured) ? read.copies : null,
    losses: [],
  };
  return {
    format: "mutwo-run",
    version: runFormatVersion,
    id: newRunId(nodes),
    createdAt: new Date().toISOString(),
    command: "",
    model: {
      file: path.basename(nodes),
      path: path.resolve(nodes),
      sha256: "unknown",
      opset: 0,
      producer: "",
      loss: "unknown",
      optimizer: "unknown",
      dims: {},
      parameters: parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      parameterBytes: parameters.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
      notes: [],
    },
    environment: environment({ device }),
    seed: 0,
    graph,
    before,
    plan: null,
    after: null,
    equality: null,
    paired: null,
    warnings: [
      {
        about: "run",
        text: `read from tables: ${path.basename(nodes)} and ${path.basename(activations)}; model and device are unknown, nothing was executed, and the step's time is the sum of its nodes'`,
      },
    ],
  };
}

/** What is done with a file's text; whatever is wrong with it names the file. */
function inFile<T>(file: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Error(`${(error as Error).message} (${file})`, { cause: error });
  }
}

const columnsOf = <C extends { readonly name: string }>(columns: readonly C[], names: readonly string[]): C[] =>
  columns.filter(({ name }) => names.includes(name));

function attributes(row: Cells, index: number): Attributes {
  const found = json(row, "attributes", index, "record") as Attributes;
  for (const [name, one] of Object.entries(found))
    if (typeof one !== "object" || !isText(one?.type) || one.value === undefined)
      throw new Error(`row ${index + 1} has no type and value in attributes for ${name}: ${JSON.stringify(one)}`);
  return found;
}

const nodeNames = [
  ...["rank", "node_name", "op", "phase", "median_run_time_ms", "avg_run_time_ms", "spread_ms"],
  ...["peak_mem_bytes", "workspace_bytes", "flops"],
  ...["inputs", "outputs", "attributes", "tensors", "renews", "step_outputs"],
];

/** Columns that tables of older versions lack. */
const originNames = ["module", "source"];

/** A time whose samples are not known. */
const known = (medianMs: number, meanMs = medianMs, spreadMs = 0): Samples => ({
  samplesMs: [],
  medianMs,
  meanMs,
  spreadMs,
});

/** The graph that a node table describes, its nodes' times, and the rows themselves. */
function nodesOf(name: string, text: string): { graph: SavedGraph; times: Samples[]; costs: Cells[] } {
  const header = text.slice(0, text.indexOf("\n")).split(",");
  const wanted = [...nodeNames, ...originNames.filter((column) => header.includes(column))];
  const costs = parseCsv(columnsOf(nodeColumns, wanted), text);
  if (costs.length === 0) throw new Error("no rows");
  costs.forEach((row, index) => {
    if (row.rank !== index) throw new Error(`row ${index + 1} has rank ${row.rank}, not ${index}`);
  });
  const times = costs.map((row, index) =>
    known(
      number(row, "median_run_time_ms", index),
      number(row, "avg_run_time_ms", index),
      number(row, "spread_ms", index),
    ),
  );
  const origins = originsOfRows(costs);
  return { graph: { ...unwire(name, costs.map(wiredNode)), ...(origins && { origins }) }, times, costs };
}

function wiredNode(row: Cells, index: number): WiredNode {
  const op = String(row.op);
  const dot = op.lastIndexOf(".");
  return {
    name: String(row.node_name),
    domain: op.slice(0, Math.max(dot, 0)),
    op: op.slice(dot + 1),
    phase: row.phase as Phase,
    inputs: names(row, "inputs", index),
    outputs: names(row, "outputs", index),
    attributes: attributes(row, index),
    tensors: texts(row, "tensors", index).map(([name, text]) => {
      const tensor = parseTensor(name, text);
      if (!tensor)
        throw new Error(`row ${index + 1} has no tensor in tensors: ${text} (float32[2,3] ${categories.join("|")})`);
      return tensor;
    }),
    renews: texts(row, "renews", index).map(([before, after]) => ({ before, after })),
    stepOutputs: names(row, "step_outputs", index),
  };
}

/** The rows that follow from the graph, with what only the table knows. Throws if it says something else of memory. */
const filledNodes = (derived: Profile["nodes"], costs: readonly Cells[]): Profile["nodes"] =>
  derived.map((node, index) => {
    const row = costs[index] as Cells;
    const live = number(row, "peak_mem_bytes", index);
    if (live !== node.liveBytes)
      throw new Error(`row ${index + 1} has peak_mem_bytes ${live}, its graph ${node.liveBytes}`);
    return {
      ...node,
      flops: number(row, "flops", index),
      workspaceBytes: row.workspace_bytes === null ? null : number(row, "workspace_bytes", index),
    };
  });

/** Columns of the activation table that follow from the node table. */
const derivedCells: readonly (readonly [string, (row: ActivationRow) => Cell])[] = [
  ["producing_node_name", (row) => row.producer],
  ["shape", (row) => `${row.dtype}[${row.shape.join(",")}]`],
  ["memory_size_bytes", (row) => row.memoryBytes],
  ["creation_rank", (row) => row.createdRank],
  ["first_fw_access_rank", (row) => row.firstForwardAccess],
  ["last_fw_access_rank", (row) => row.lastForwardAccess],
  ["first_bw_access_rank", (row) => row.firstBackwardAccess],
  ["last_bw_access_rank", (row) => row.lastBackwardAccess],
  ["fixed", (row) => row.fixed ?? ""],
];

const activationNames = [
  ...["activation_name", "inactive_time_ms", "recomp_time_ms", "total_recomp_time_ms", "recompute_ratio_bytes_per_ms"],
  ...["recomp_memory_bytes", "recomp_cnt", "swap_time_ms", "swap_out_time_ms", "swap_in_time_ms", "swap_time_measured"],
  ...derivedCells.map(([name]) => name),
];

/**
 * The rows of an activation table, in the order of those that follow from the node table; and the copies they tell of.
 * Throws if a row contradicts the node table, is missing or is there twice.
 */
function activationsOf(derived: readonly ActivationRow[], text: string): { rows: ActivationRow[]; copies: CopyTime[] } {
  const expected = new Map(derived.map((row) => [row.name, row]));
  const found = new Map<string, ActivationRow>();
  const copies = new Map<number, CopyTime>();
  for (const [index, cells] of parseCsv(columnsOf(activationColumns, activationNames), text).entries()) {
    const name = String(cells.activation_name);
    const row = expected.get(name);
    if (!row) throw new Error(`row ${index + 1} is no saved activation of the node table: ${name}`);
    if (found.has(name)) throw new Error(`row ${index + 1} is of an activation that another row is of: ${name}`);
    for (const [column, value] of derivedCells)
      if (cells[column] !== value(row))
        throw new Error(
          `row ${index + 1} contradicts the node table: ${column} of ${name} is ${cells[column]}, there ${value(row)}`,
        );
    const cell = (column: string): number => number(cells, column, index);
    found.set(name, {
      ...row,
      inactiveMs: cell("inactive_time_ms"),
      recomputeMs: cell("recomp_time_ms"),
      totalRecomputeMs: cell("total_recomp_time_ms"),
      recomputeRatio: cells.recompute_ratio_bytes_per_ms === null ? null : cell("recompute_ratio_bytes_per_ms"),
      recomputeBytes: cell("recomp_memory_bytes"),
      recomputeCount: cell("recomp_cnt"),
      swapMs: cell("swap_time_ms"),
      swapMeasured: cells.swap_time_measured === true,
    });
    const bytes = row.memoryBytes;
    copies.set(bytes, { bytes, toHostMs: cell("swap_out_time_ms"), toDeviceMs: cell("swap_in_time_ms") });
  }
  const rows = derived.map(({ name }) => {
    const row = found.get(name);
    if (!row) throw new Error(`no row of a saved activation of the node table: ${name}`);
    return row;
  });
  return { rows, copies: [...copies.values()].sort((a, z) => a.bytes - z.bytes) };
}
