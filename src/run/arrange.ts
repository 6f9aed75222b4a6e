import type { Graph } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import type { Runtime } from "../runtime/runtime.js";
import { together } from "../step/together.js";
import type { BuiltTrial } from "./build-trials.js";
import type { Arrangement } from "./together.js";

/** Several models in one step. */
export interface JointStep {
  readonly arrangement: Arrangement;
  readonly graph: Graph;
  readonly subArrays: readonly (readonly string[])[];
  readonly lanes: number;
  /** What was not fused, with the reason, and what makes another sub-array. */
  readonly notes: readonly string[];
}

/** More lanes than this bring nothing: the device is full. */
const mostLanes = 8;

/** Lanes that are tried, from many to one: of those whose step fits the first is taken. */
function laneCounts(runtime: Runtime, count: number): number[] {
  const counts = [];
  if (runtime.fuses)
    for (let lanes = Math.min(count, mostLanes); lanes > 1; lanes = Math.floor(lanes / 2)) counts.push(lanes);
  return [...counts, 1];
}

/** Each model with its own nodes: in as many lanes as fit into some memory, on a CPU in one. */
export function sideBySide(runtime: Runtime, trials: readonly BuiltTrial[], limitBytes: number): JointStep {
  const members = trials.map(({ spec, baseline }) => ({ name: spec.name, graph: baseline }));
  const subArrays = members.map(({ name }) => [name]);
  for (const lanes of laneCounts(runtime, members.length)) {
    const graph = together(runtime, members, lanes);
    if (lanes === 1 || layout(graph).arenaBytes <= limitBytes)
      return { arrangement: "side-by-side", graph, subArrays, lanes, notes: [] };
  }
  throw new Error("no models to train together");
}
