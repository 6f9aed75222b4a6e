import { type Graph, tensorBytes, tensorOf } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import { type StateUses, stateUses } from "../memory/state-uses.js";
import { pcieLink } from "./link.js";
import type { PlanProblem, StatePlacement } from "./plan.js";
import { canSlice } from "./sliced-update.js";

/** A state that could be on the host between its uses. */
export interface StateOption extends StateUses {
  readonly name: string;
  readonly bytes: number;
  /** One copy, ms. */
  readonly copyMs: number;
  /** Time of a step in which nobody uses it, ms. */
  readonly idleMs: number;
}

/** Smaller states are not worth a copy, unless the largest has not much more. */
const [smallestBytes, smallestShare] = [2 ** 16, 1 / 16];

/** A state must be idle for such a share of the step. */
const leastIdle = 0.05;

/** Time of a copy of a byte where none was timed, ms: 25 GB/s. */
const defaultByteMs = 1 / 25e6;

/** Time of a copy of a byte as that of the largest activation, ms. */
function byteMs({ rows }: Pick<PlanProblem, "rows">): number {
  const most = greatest(
    rows.map(({ memoryBytes }) => memoryBytes),
    0,
  );
  const row = rows.find(({ memoryBytes }) => memoryBytes === most);
  return row && most ? row.swapMs / most : defaultByteMs;
}

/** What of a problem says which states may go. */
type Stated = Pick<PlanProblem, "graph" | "nodeMs" | "rows" | "constraints" | "steady">;

/** When each node begins, ms, and when the step ends. */
function beginsOf(nodeMs: readonly number[]): number[] {
  const begins = [0];
  for (const ms of nodeMs) begins.push((begins.at(-1) as number) + ms);
  return begins;
}

/**
 * The states that a plan may have on the host, in the order of their first uses; none where the constraints forbid it. Those
 * that are hardly ever idle only where `busy` ones are wanted too: beside other models all are.
 */
export function stateOptions(problem: Stated, busy = false): StateOption[] {
  const { graph, nodeMs, constraints = {} } = problem;
  if (constraints.swap === false || constraints.states === false || problem.steady) return [];
  const perByte = byteMs(problem);
  const begins = beginsOf(nodeMs);
  const stepMs = begins.at(-1) as number;
  const all = [...stateUses(graph)].flatMap(([name, uses]): StateOption[] => {
    const bytes = tensorBytes(tensorOf(graph, name));
    const idleMs = stepMs - (begins[uses.last + 1] as number) + (begins[uses.first] as number);
    if (uses.isOutput || (!busy && idleMs < leastIdle * stepMs)) return [];
    return [{ ...uses, name, bytes, idleMs, copyMs: perByte * bytes }];
  });
  const largest = greatest(
    all.map(({ bytes }) => bytes),
    0,
  );
  return all.filter(({ bytes }) => bytes >= Math.min(smallestBytes, smallestShare * largest));
}

/** How many times its own time a copy to the device may begin before it is needed: longer it would only take memory. */
const mostAhead = 4;

/**
 * Where the copies of states begin and end so that nodes need not wait for them, as far as that can be: a copy to the
 * device as late as it is in time, one to the host from the last use on; each direction is a queue.
 */
export function hiddenStates(
  { nodeMs, graph }: Pick<PlanProblem, "nodeMs" | "graph">,
  states: readonly StateOption[],
): StatePlacement[] {
  const begins = beginsOf(nodeMs);
  const nodeAt = (rank: number): string | undefined => graph.nodes[rank]?.name;
  const { margin, besideOther } = pcieLink;
  const outDone = new Map<string, string | null>();
  let free = 0;
  for (const { name, last, copyMs } of [...states].sort((a, z) => a.last - z.last)) {
    free = Math.max(free, begins[last + 1] as number) + (margin * copyMs) / besideOther.out;
    const done = begins.findIndex((ms, rank) => rank > last && ms >= free);
    outDone.set(name, nodeAt(done) ?? null);
  }
  const prefetch = new Map<string, string>();
  let latest = Number.POSITIVE_INFINITY;
  for (const { name, first, copyMs } of [...states].sort((a, z) => z.first - a.first)) {
    const needed = begins[first] as number;
    const ms = (margin * copyMs) / besideOther.in;
    latest = Math.max(Math.min(latest, needed) - ms, needed - mostAhead * ms);
    const rank = begins.findLastIndex((begin, at) => at <= first && begin <= latest);
    prefetch.set(name, nodeAt(Math.max(0, rank)) as string);
  }
  return states.map(({ name, isRenewed }) => ({
    state: name,
    prefetch: prefetch.get(name) as string,
    ...(isRenewed ? { outDone: outDone.get(name) as string | null } : {}),
  }));
}

/**
 * The same of groups of states that follow one another in a step, each in one of some places of the device: a group's copies
 * come as soon as the group that had the place before has left, so that memory is bounded where copies are slower than nodes.
 */
export function placedInTurn(
  { nodeMs, graph }: Pick<PlanProblem, "nodeMs" | "graph">,
  groups: readonly (readonly StateOption[])[],
  places: number,
): StatePlacement[] {
  const begins = beginsOf(nodeMs);
  const nodeAt = (rank: number): string => graph.nodes[rank]?.name as string;
  const { margin, besideOther } = pcieLink;
  const outMs = margin / besideOther.out;
  const inMs = margin / besideOther.in;
  const order = groups
    .map((states) => ({
      states: [...states].sort((a, z) => a.first - z.first),
      first: Math.min(...states.map(({ first }) => first)),
      last: Math.max(...states.map(({ last }) => last)),
    }))
    .sort((a, z) => a.first - z.first);
  // how much later nodes run than without copies, and when each direction is free
  let [late, outFree, inFree] = [0, 0, 0];
  const left: number[] = [];
  const ranks: number[] = [];
  const placements: StatePlacement[] = [];
  order.forEach(({ states, first, last }, i) => {
    const free = left[i - places] ?? 0;
    const earliest = i < places ? (order[i - 1]?.first ?? 0) : (order[i - places] as { last: number }).last + 1;
    const found = begins.findIndex((ms, rank) => rank >= earliest && ms + late >= free);
    const prefetch = found < 0 ? first : Math.min(found, first);
    ranks.push(prefetch);
    inFree = Math.max(inFree, free, (begins[prefetch] as number) + late);
    for (const { first: needed, copyMs } of states) {
      inFree += inMs * copyMs;
      late += Math.max(0, inFree - ((begins[needed] as number) + late));
    }
    outFree = Math.max(outFree, (begins[last + 1] as number) + late);
    for (const { copyMs, isRenewed } of states) if (isRenewed) outFree += outMs * copyMs;
    left.push(outFree);
  });
  order.forEach(({ states }, i) => {
    const next = ranks[i + places];
    for (const { name, isRenewed } of states)
      placements.push({
        state: name,
        prefetch: nodeAt(ranks[i] as number),
        ...(isRenewed && { outDone: next === undefined ? null : nodeAt(next) }),
      });
  });
  return placements;
}

/**
 * The same so that they take the least memory: nodes wait for every copy; what can be renewed slice by slice is on the device
 * so.
 */
export const waitedStates = (graph: Graph, states: readonly StateOption[]): StatePlacement[] =>
  states.map(({ name, first, last }) =>
    // what is read and renewed at once
    graph.nodes[first]?.phase === "update" && graph.nodes[last]?.phase === "update" && canSlice(graph, name)
      ? { state: name, sliced: true }
      : { state: name },
  );
