import { type Graph, producers, tensorOf } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { opOf } from "../ops/index.js";

/** The states that are on the device only while a step uses them, each with the host tensor that holds it from step to step. */
export const homes = perObject((graph: Graph): ReadonlyMap<string, string> => {
  const made = producers(graph);
  const found = new Map<string, string>();
  for (const node of graph.nodes) {
    const [, home = ""] = node.inputs;
    if (opOf(node).swap === "inWait" && !made.has(home)) found.set(node.outputs[0] as string, home);
  }
  return found;
});

/** Where the value of a tensor lies between steps: how far into which one. */
export interface Home {
  readonly tensor: string;
  readonly offsetBytes: number;
}

/**
 * Where a tensor's value is read and written between steps: of a state that is on the device only for a while, and of its
 * slices, on the host; of all others where they are.
 */
export function homeOf(graph: Graph, name: string): Home {
  const { within } = tensorOf(graph, name);
  const known = homes(graph);
  const own = known.get(name);
  if (own !== undefined) return { tensor: own, offsetBytes: 0 };
  const whole = within && known.get(within.tensor);
  return whole ? { tensor: whole, offsetBytes: within.offsetBytes } : { tensor: name, offsetBytes: 0 };
}
