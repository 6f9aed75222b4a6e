import { type Graph, producers, tensorOf } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { homes } from "./homes.js";
import { slicesOf } from "./last-reads.js";
import { originOf } from "./views.js";

/** From where to where a step uses a state: a parameter or a state of the optimizer, whole, with all slices of it. */
export interface StateUses {
  /** Rank of the first node that reads it or makes a part of its next value. */
  readonly first: number;
  /** Rank of the last node that reads it, as it was or as it is renewed, or makes a part of its next value. */
  readonly last: number;
  /** Whether nodes make a next value of it, or of a part. */
  readonly isRenewed: boolean;
  /** Whether the step hands it out, or a part of it. */
  readonly isOutput: boolean;
}

/**
 * The uses of every parameter and state of the optimizer that lies in memory of its own, flat buffers as a whole, in the
 * order of their first ones. Learning rates are none of them: they are written between steps.
 */
export const stateUses = perObject((graph: Graph): ReadonlyMap<string, StateUses> => {
  const made = producers(graph);
  const homeOf = homes(graph);
  const origin = originOf(graph);
  const parted = slicesOf(graph, (name) => made.has(name));
  const outputs = new Set(graph.outputs.map(origin));
  /** The state that a tensor shows or is a next value of. */
  const stateOf = new Map<string, string>();
  const isMade = (name: string): boolean => made.has(name) && !homeOf.has(name);
  for (const tensor of graph.tensors.values()) {
    const { name, within, host, rate } = tensor;
    if (host || rate !== undefined || isMade(name)) continue;
    const whole = within ? tensorOf(graph, within.tensor) : tensor;
    if (whole.category !== "parameter" && whole.category !== "optimizer state") continue;
    if (!parted.has(whole.name) && !isMade(whole.name)) stateOf.set(origin(name), whole.name);
  }
  const renewed = new Set<string>();
  for (const { before, after } of graph.state) {
    const state = stateOf.get(origin(before));
    if (state === undefined) continue;
    stateOf.set(origin(after), state);
    renewed.add(state);
  }
  const uses = new Map<string, { first: number; last: number; isRenewed: boolean; isOutput: boolean }>();
  graph.nodes.forEach(({ inputs, outputs: results }, rank) => {
    for (const name of [...inputs, ...results]) {
      const state = name ? stateOf.get(origin(name)) : undefined;
      if (state === undefined) continue;
      const known = uses.get(state);
      if (known) known.last = rank;
      else uses.set(state, { first: rank, last: rank, isRenewed: renewed.has(state), isOutput: false });
    }
  });
  for (const [name, state] of stateOf) {
    const known = uses.get(state);
    if (known && outputs.has(name)) known.isOutput = true;
  }
  return uses;
});

/** Rank of the last use of each state that comes from the host, by the number of the tensor that comes among all. */
export function arrivals(graph: Graph): ReadonlyMap<number, number> {
  const uses = stateUses(graph);
  const origin = originOf(graph);
  const names = [...graph.tensors.keys()];
  return new Map(
    [...homes(graph).keys()].map((name) => [
      names.indexOf(origin(name)),
      uses.get(name)?.last ?? graph.nodes.length - 1,
    ]),
  );
}
