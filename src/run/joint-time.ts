import type { Graph, Node } from "../graph/graph.js";
import { knownName } from "../graph/names.js";
import { opOf } from "../ops/index.js";
import { capacityOf, laneTime } from "../plan/lane-time.js";
import type { StepTime } from "../plan/step-time.js";
import { plannedGraph, plannedRows, unplannedRows } from "./planned-rows.js";
import { loadGraph, type Run } from "./run.js";

/**
 * When each node of a run's step runs, planned where there is a plan, simulated from times of nodes that were measured one
 * by one: nodes of several lanes at the same time, as fast as makes the step as long as it was measured.
 */
export function jointTime(run: Run): { readonly graph: Graph; readonly time: StepTime } {
  const { before, after } = run;
  const unplanned = loadGraph(run.graph);
  const planned = plannedGraph(run);
  const rows = (planned && plannedRows(run)) ?? unplannedRows(run);
  const ms = new Map(rows.nodes.map((row) => [row.name, row.time.medianMs]));
  const swaps = new Map(before.activations.map(({ name, swapMs }) => [name, swapMs]));
  const graph = planned ?? unplanned;
  const msOf = (node: Node): number =>
    opOf(node).swap ? (swaps.get(knownName(node.outputs[0] ?? "", swaps)) ?? 0) : (ms.get(node.name) ?? 0);
  const isExecuted = planned !== undefined && after !== null;
  const [measured, stepMs] = isExecuted ? [planned, after.step.medianMs] : [unplanned, before.step.medianMs];
  const nodeMs = isExecuted ? planned.nodes.map(msOf) : before.nodes.map(({ time }) => time.medianMs);
  return { graph, time: laneTime(graph, msOf, capacityOf(measured, nodeMs, stepMs)) };
}
