import type { Graph, Node } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { knownName, swappedName } from "../graph/names.js";
import { opOf } from "../ops/index.js";
import { executedGraph } from "../plan/executed.js";
import { pcieLink } from "../plan/link.js";
import type { Decision } from "../plan/plan.js";
import { type StepTime, stepTime } from "../plan/step-time.js";
import { copyTimes } from "./copy-times.js";
import { type Modules, modulesOf } from "./modules.js";
import { executedRows, plannedRows, unplannedRows } from "./planned-rows.js";
import { copiesOf } from "./recomputed-copies.js";
import type { PlannedNodeRow } from "./row-fields.js";
import { loadGraph, type Run } from "./run.js";

/** The steps of a run: as it was built, and as it was planned. */
export const stepNames = ["unplanned", "planned"] as const;

export type StepName = (typeof stepNames)[number];

/** A step of a run with a time for everything in it. */
export interface TimedStep extends StepTime {
  readonly name: StepName;
  /** In words how its times came to be: measured, predicted, …. */
  readonly how: string;
  /** Whether the nodes' waits for copies were measured, or are simulated as copies are. */
  readonly measuresWaits: boolean;
  /** Whether copies run beside the nodes; on a CPU they are nodes as all others. */
  readonly copiesBeside: boolean;
  readonly graph: Graph;
  /** By rank. */
  readonly rows: readonly PlannedNodeRow[];
  /** The decisions for which a node makes something again, or which its copy carries out, by the node's name. */
  readonly reasons: ReadonlyMap<string, readonly Decision[]>;
  readonly modules: Modules;
}

/**
 * The steps of a run, each node at its median time after the one before, copies of swaps beside them as the plan's link
 * simulates them: of the planned step the times of its execution, where it was not executed those of the same nodes of
 * the unplanned one, and waits as simulated. The planned step is missing without a plan.
 */
export function timedSteps(run: Run): TimedStep[] {
  const graph = loadGraph(run.graph);
  const { before, plan, after } = run;
  const unplanned = timed(run, graph, unplannedRows(run).nodes, {
    name: "unplanned",
    how: howMeasured(before),
    measuresWaits: false,
    copiesBeside: false,
  });
  if (!plan) return [unplanned];
  const planned = executedGraph(graph, plan).graph;
  const executed = executedRows(after, planned) && after;
  const measuresWaits = Boolean(executed && !executed.simulated);
  const isSwapped = planned.nodes.some((node) => opOf(node).swap);
  const copiesBeside = isSwapped && !(measuresWaits && before.copies === null);
  const how = [
    executed ? howMeasured(executed) : `predicted from ${howMeasured(before)}`,
    ...(copiesBeside ? [measuresWaits ? "copies simulated" : "copies and waits simulated"] : []),
    ...(plan.feasible ? [] : ["does not fit its budget"]),
  ].join("; ");
  const rows = plannedRows(run)?.nodes ?? [];
  return [unplanned, timed(run, planned, rows, { name: "planned", how, measuresWaits, copiesBeside })];
}

/** How the times of a profile's nodes came to be. */
function howMeasured({ backend, simulated, estimated, offloaded }: Run["before"]): string {
  if (estimated) return "estimated times";
  if (offloaded) return "times measured with all activations swapped out";
  if (backend === "replay") return `times of a recording${simulated ? ", step simulated" : ""}`;
  return backend === "tables" ? "times of a node table" : "measured times";
}

function timed(
  run: Run,
  graph: Graph,
  rows: readonly PlannedNodeRow[],
  what: Pick<TimedStep, "name" | "how" | "measuresWaits" | "copiesBeside">,
): TimedStep {
  const swapMs = copyTimes(run);
  const nodeMs = new Map(rows.map((row) => [row.name, row.time.medianMs]));
  const rowMs = (node: Node): number => nodeMs.get(node.name) ?? 0;
  const timeOf = (node: Node): number => (opOf(node).swap ? (swapMs.get(swappedBy(node)) ?? 0) : rowMs(node));
  const time = stepTime(graph, timeOf, pcieLink, what.measuresWaits ? rowMs : undefined);
  return { ...time, ...what, graph, rows, reasons: reasonsOf(run, graph), modules: modulesOf(run) };
}

/** The activation that a node swaps. */
export const swappedBy = (node: Node): string => swappedName(node.outputs[0] as string);

/** Why the nodes that a plan has added are there. */
function reasonsOf({ graph: saved, plan, before }: Run, planned: Graph): ReadonlyMap<string, readonly Decision[]> {
  const decided = new Map((plan?.decisions ?? []).map((decision) => [decision.activation, decision]));
  const evicted = new Set([...decided.values()].flatMap((one) => (one.action === "recompute" ? [one.activation] : [])));
  const reasons = new Map<string, Decision[]>();
  const add = (node: string, decision: Decision | undefined): void => {
    if (decision) addTo(reasons, node, decision);
  };
  const times = (rank: number): number => before.nodes[rank]?.time.medianMs ?? 0;
  for (const [activation, copies] of copiesOf(loadGraph(saved), planned, evicted, times))
    for (const { node } of copies) add(node, decided.get(activation));
  for (const node of planned.nodes)
    if (opOf(node).swap) add(node.name, decided.get(knownName(swappedBy(node), decided)));
  return reasons;
}
