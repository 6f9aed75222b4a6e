import type { Graph, Node } from "../graph/graph.js";
import { knownName } from "../graph/names.js";
import { layout } from "../memory/layout.js";
import { capacityOf, laneTime } from "../plan/lane-time.js";
import type { Joint } from "../plan/multiplex/choose.js";
import { ringOf } from "../plan/multiplex/ring.js";
import { rotate } from "../plan/multiplex/rotate.js";
import { type Scene, withoutPlan } from "./alone.js";
import { executes } from "./build-step.js";
import { jointValues } from "./build-trials.js";
import { isOutOfMemory, measurePlanned } from "./profile-built.js";

/** Into how many stages each half of a multiplexed step is cut where two lanes run beside each other. */
const stages = 8;

/** What two lanes of a multiplexed step get done at a time. */
export interface Pair {
  readonly capacity: number;
  readonly stages: number;
  /** One lane is simulated beside them. */
  readonly serial: true;
  /** The step without a plan by which that was measured: its time, and what is simulated of it, ms. */
  readonly plain: { readonly measuredMs: number; readonly simulatedMs: number };
}

/** Times of the nodes of an executed graph by those of the graph that it is made of, ms. */
export function timesOf(graph: Graph, nodeMs: readonly number[]): (node: Node) => number {
  const ms = new Map(graph.nodes.map(({ name }, rank) => [name, nodeMs[rank] as number]));
  return ({ name }) => ms.get(knownName(name, ms)) ?? 0;
}

/**
 * What two lanes get done at a time, measured by the multiplexed step without a plan; undefined where the device cannot
 * hold that, nothing runs beside anything, or lanes win nothing.
 */
export async function pairOf(
  { runtime, options, trials }: Scene,
  { graph, nodeMs, members }: Joint,
): Promise<Pair | undefined> {
  if (!runtime.fuses || !executes(runtime) || members.length < 2) return undefined;
  const rotation = rotate(graph, ringOf(graph, nodeMs, members, { lag: 0, stages }));
  if (layout(rotation.graph).arenaBytes > (runtime.freeBytes?.() ?? Number.POSITIVE_INFINITY)) return undefined;
  const values = jointValues(runtime, graph, trials);
  const executed = { graph: rotation.graph, rotation };
  const measured = await measurePlanned(executed, runtime, values, withoutPlan(options)).catch((error: unknown) => {
    // values fit, and what kernels take beside them does not
    if (isOutOfMemory(error)) return undefined;
    throw error;
  });
  if (!measured) return undefined;
  const { step } = measured;
  const msOf = timesOf(graph, nodeMs);
  const capacity = capacityOf(rotation.graph, rotation.graph.nodes.map(msOf), step.medianMs);
  if (capacity <= 1.001) return undefined;
  return {
    capacity,
    stages,
    serial: true,
    plain: { measuredMs: step.medianMs, simulatedMs: laneTime(rotation.graph, msOf, capacity).totalMs },
  };
}
