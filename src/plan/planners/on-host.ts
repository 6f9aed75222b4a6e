import { formatBytes, formatMs } from "../../format.js";
import { type Graph, tensorBytes, tensorOf } from "../../graph/graph.js";
import { parseName } from "../../graph/names.js";
import { homes } from "../../memory/homes.js";
import { hostStates } from "../host-states.js";
import type { Planner, PlanProblem, StateDecision, StatePlacement } from "../plan.js";
import { hiddenStates, type StateOption, stateOptions, waitedStates } from "../state-options.js";

type Planned = ReturnType<Planner>;

/** States that go to the host together. */
export interface StateGroup {
  readonly states: readonly StateOption[];
  readonly bytes: number;
}

export const groupOf = (states: readonly StateOption[]): StateGroup => ({
  states,
  bytes: states.reduce((sum, { bytes }) => sum + bytes, 0),
});

/** Plans with some states on the host, their copies placed so. */
type PlanWith = (states: readonly StateOption[], placements: readonly StatePlacement[]) => Planned;

/** Where states go: which groups of so many, the ways of placing their copies, the best first, and how that is planned. */
interface Ways {
  readonly groups: readonly StateGroup[];
  readonly chosen: (count: number) => readonly StateGroup[];
  readonly placed: readonly ((groups: readonly StateGroup[]) => readonly StatePlacement[])[];
  readonly planWith: PlanWith;
  /** Plans where nodes wait for all copies; default as otherwise. */
  readonly planWaiting?: PlanWith;
}

/** A plan that adds such a share of the step's time is not worth a search for a faster one. */
const littleShare = 0.01;

/** How many more numbers of groups are tried than the fewest that suffice. */
const moreTries = 3;

/**
 * The plan with as few groups of states on the host as it takes to fit the budget, more where that is faster; `plain` is the
 * one that leaves all on the device. Where nothing else fits, all are, and nodes wait for their copies.
 */
export function withStates(
  problem: PlanProblem,
  plain: Planned,
  { groups, chosen, placed, planWith, planWaiting = planWith }: Ways,
): Planned {
  const { budgetBytes, nodeMs, constraints = {} } = problem;
  const { hostBytes = Number.POSITIVE_INFINITY } = constraints;
  const bytesOf = (count: number): number => chosen(count).reduce((sum, { bytes }) => sum + bytes, 0);
  /** How many the host can hold. */
  let most = groups.length;
  while (most > 0 && bytesOf(most) > hostBytes) most--;
  if (budgetBytes === null || !most) return plain;
  const little = littleShare * nodeMs.reduce((sum, ms) => sum + ms, 0);
  const found: Planned[] = [];
  /** The first way of so many that fits, else the last. */
  const tried = (count: number): Planned => {
    const taken = chosen(count);
    let plan = plain;
    for (const place of placed) {
      plan = planWith(statesOf(taken), place(taken));
      found.push(plan);
      if (plan.feasible) break;
    }
    return plan;
  };
  const mean = bytesOf(groups.length) / groups.length;
  const missing = ({ minimumPeakBytes }: Planned): number =>
    Math.max(1, Math.ceil((minimumPeakBytes - budgetBytes) / mean));
  // what is more than all of them is not looked for
  let count = plain.feasible ? 1 : missing(plain);
  while (count <= most) {
    const plan = tried(count);
    if (plan.feasible) break;
    count = count < most ? Math.min(most, count + missing(plan)) : count + 1;
  }
  const left = most - count;
  const step = Math.max(1, left / moreTries);
  for (let i = 1; i <= moreTries && i * step <= left && fastest(found, little).addedMs > little; i++)
    tried(Math.round(count + i * step));
  const best = fastest([plain, ...found], little);
  if (best.feasible) return best;
  const all = statesOf(chosen(most));
  const last = planWaiting(all, waitedStates(problem.graph, all));
  const minimumPeakBytes = Math.min(...[plain, ...found, last].map((plan) => plan.minimumPeakBytes));
  const least = last.feasible || last.minimumPeakBytes < plain.minimumPeakBytes ? last : plain;
  return { ...least, minimumPeakBytes };
}

const statesOf = (groups: readonly StateGroup[]): StateOption[] => groups.flatMap(({ states }) => states);

/** The fastest plan that fits, the first of those that are about as fast; any where none fits. */
const fastest = (plans: readonly Planned[], little: number): Planned =>
  plans.reduce((best, one) => (one.feasible && (!best.feasible || one.addedMs < best.addedMs - little) ? one : best));

/** A planner that has states on the host where activations alone do not suffice. */
export const onHost =
  (planner: Planner): Planner =>
  (problem) => {
    const plain = planner(problem);
    if (plain.feasible || problem.budgetBytes === null) return plain;
    const groups = stateOptions(problem)
      .map((state) => groupOf([state]))
      .sort((a, z) => z.bytes * idle(z) - a.bytes * idle(a));
    return withStates(problem, plain, {
      groups,
      chosen: (count) => groups.slice(0, count),
      placed: [(taken) => hiddenStates(problem, statesOf(taken))],
      planWith: (states, placements) => {
        const { bound: _, ...plan } = planner(hosted(problem, states, placements));
        return { ...plan, states: decided(states, placements) };
      },
    });
  };

const idle = ({ states }: StateGroup): number => states[0]?.idleMs ?? 0;

/** The problem of the step with some states on the host: their copies are nodes of it that take no time of their own. */
export function hosted(
  problem: PlanProblem,
  states: readonly StateOption[],
  placements: readonly StatePlacement[],
): PlanProblem {
  const graph = hostStates(problem.graph, placements);
  const ranks = ranksIn(graph, problem.graph);
  const own = new Map(problem.graph.nodes.map(({ name }, rank) => [name, problem.nodeMs[rank] as number]));
  const cut = new Map<string, number>();
  for (const { name } of graph.nodes) if (!own.has(name)) cut.set(originOf(name), (cut.get(originOf(name)) ?? 0) + 1);
  const nodeMs = graph.nodes.map(
    ({ name }) => own.get(name) ?? (own.get(originOf(name)) ?? 0) / (cut.get(originOf(name)) ?? 1),
  );
  const at = (own: number): number => ranks[own] as number;
  return {
    ...problem,
    graph,
    nodeMs,
    stateMs: new Map([...copyTimes(states), ...sliceTimes(graph, states)]),
    rows: problem.rows.map((row) => ({
      ...row,
      createdRank: at(row.createdRank),
      firstForwardAccess: at(row.firstForwardAccess),
      lastForwardAccess: at(row.lastForwardAccess),
      firstBackwardAccess: at(row.firstBackwardAccess),
      lastBackwardAccess: at(row.lastBackwardAccess),
    })),
  };
}

/** The node that one of a slice was cut from. */
const originOf = (name: string): string => {
  const { original, slice } = parseName(name);
  return slice === undefined ? name : original;
};

/** The time of one copy of each slice of a state that comes by itself. */
function sliceTimes(graph: Graph, states: readonly StateOption[]): [string, number][] {
  const known = new Map(states.map((state) => [state.name, state]));
  return [...homes(graph)].flatMap(([name, home]): [string, number][] => {
    const state = known.get(tensorOf(graph, home).within?.tensor ?? "");
    return state ? [[name, (state.copyMs * tensorBytes(tensorOf(graph, name))) / state.bytes]] : [];
  });
}

/** Where the nodes of one graph stand in another that has more. */
function ranksIn(graph: Graph, own: Graph): Int32Array {
  const rank = new Map(graph.nodes.map(({ name }, i) => [name, i]));
  return Int32Array.from(own.nodes, ({ name }) => rank.get(name) as number);
}

export const copyTimes = (states: readonly StateOption[]): ReadonlyMap<string, number> =>
  new Map(states.map(({ name, copyMs }) => [name, copyMs]));

/** What a plan says of the states that it has on the host. */
export function decided(states: readonly StateOption[], placements: readonly StatePlacement[]): StateDecision[] {
  const places = new Map(placements.map((one) => [one.state, one]));
  return states.map(({ name, bytes, copyMs, idleMs, isRenewed }): StateDecision => {
    const place = places.get(name) as StatePlacement;
    const copies = isRenewed ? "two copies" : "one copy";
    const how = place.sliced
      ? "slice by slice, each beside the renewal of another"
      : place.prefetch === undefined
        ? "which the nodes wait for"
        : `beside other nodes, from ${place.prefetch} on${isRenewed && place.outDone ? `, away before ${place.outDone}` : ""}`;
    return {
      ...place,
      bytes,
      swapMs: copyMs,
      idleMs,
      why: `${formatBytes(bytes)} are used by nobody for ${formatMs(idleMs)} of a step: ${copies} of ${formatMs(copyMs)} ${how}`,
    };
  });
}
