import type { Graph, Node, Tensor } from "../../graph/graph.js";
import { perObject } from "../../graph/memo.js";
import { storages } from "../../memory/storages.js";
import { hostStates } from "../host-states.js";
import type { Decision, Planner, PlanProblem } from "../plan.js";
import { placedInTurn, stateOptions } from "../state-options.js";
import { copyTimes, decided, groupOf, hosted, withStates } from "./on-host.js";
import { type Choice, judge, meets, planOf } from "./prefix.js";

/** Layouts waste a little, and what they waste is taken off the budgets so many times. */
const mostTries = 8;

/** One of several steps that follow one another in a joint graph. */
interface Turn {
  /** Before its names, with the slash. */
  readonly prefix: string;
  /** Rank of its first node. */
  readonly first: number;
  readonly graph: Graph;
  /** The same for steps of the same nodes and shapes. */
  readonly kind: string;
}

/** The steps of a joint graph of one lane, each behind the other; undefined of any other graph. */
export const turnsOf = perObject((graph: Graph): { readonly all: readonly Turn[] } | undefined => {
  const { trials, nodes } = graph;
  if (!trials || nodes.some(({ lane, stage }) => lane || stage)) return undefined;
  const prefixes = [...new Set(trials.map(({ array }) => `${array}/`))];
  if (prefixes.length < 2) return undefined;
  const all: Turn[] = [];
  let at = 0;
  for (const prefix of prefixes) {
    const first = at;
    while (nodes[at]?.name.startsWith(prefix)) at++;
    if (at === first) return undefined;
    const own = partOf(graph, nodes.slice(first, at), prefix);
    all.push({ prefix, first, graph: own, kind: kindOf(own, prefix) });
  }
  const isLeft = nodes.slice(at).some(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)));
  return isLeft ? undefined : { all };
});

/** What of a joint graph has names that begin so. */
function partOf(graph: Graph, nodes: readonly Node[], prefix: string): Graph {
  const isOwn = (name: string): boolean => name.startsWith(prefix);
  const tensors = new Map<string, Tensor>();
  for (const [name, tensor] of graph.tensors) if (isOwn(name)) tensors.set(name, tensor);
  return {
    name: prefix,
    nodes,
    tensors,
    inputs: graph.inputs.filter(isOwn),
    outputs: graph.outputs.filter(isOwn),
    state: graph.state.filter(({ before }) => isOwn(before)),
  };
}

function kindOf({ nodes, tensors }: Graph, prefix: string): string {
  const cut = (name: string): string => name.slice(prefix.length);
  return JSON.stringify([
    nodes.map(({ op, inputs, outputs }) => [op, inputs.map(cut), outputs.map(cut)]),
    [...tensors.values()].map(({ dtype, shape }) => [dtype, shape]),
  ]);
}

/** The part of a problem that is one step's, within its own budget. */
function problemOf(problem: PlanProblem, turn: Turn, budgetBytes: number | null): PlanProblem {
  const { first, graph, prefix } = turn;
  const { keep, maxAddedMs, ...constraints } = problem.constraints ?? {};
  const { states: _, ...rest } = problem;
  const nodeMs = problem.nodeMs.slice(first, first + graph.nodes.length);
  const sum = (all: readonly number[]): number => all.reduce((total, ms) => total + ms, 0);
  return {
    ...rest,
    graph,
    nodeMs,
    budgetBytes,
    rows: problem.rows
      .filter(({ name }) => name.startsWith(prefix))
      .map((row) => ({
        ...row,
        createdRank: row.createdRank - first,
        firstForwardAccess: row.firstForwardAccess - first,
        lastForwardAccess: row.lastForwardAccess - first,
        firstBackwardAccess: row.firstBackwardAccess - first,
        lastBackwardAccess: row.lastBackwardAccess - first,
      })),
    constraints: {
      ...constraints,
      ...(keep ? { keep: keep.filter((name) => name.startsWith(prefix)) } : {}),
      ...(maxAddedMs === undefined ? {} : { maxAddedMs: (maxAddedMs * sum(nodeMs)) / sum(problem.nodeMs) }),
    },
  };
}

/** A decision on one step's activation as that on the activation of the same name of another one. */
export function decisionOf(decision: Decision, from: string, to: string): Choice {
  const renamed = (name: string): string => `${to}${name.slice(from.length)}`;
  const { activation, swap, why, order: _order, peakBytesAfter: _peak, ...rest } = decision;
  return {
    ...rest,
    activation: renamed(activation),
    ...(swap && { swap: { outDone: renamed(swap.outDone), prefetch: renamed(swap.prefetch) } }),
    why: from ? why.replaceAll(from, to) : why,
  };
}

/** The most bytes of other steps that live beside a step: what stays on the device, and states that come or go. */
function besideBytes(joint: Graph, { prefix, graph }: Turn): number {
  const rank = ranksOf(joint);
  const [first, last] = [graph.nodes[0], graph.nodes.at(-1)].map((node) => rank.get(node?.name ?? "") ?? 0) as [
    number,
    number,
  ];
  const change = new Float64Array(last - first + 2);
  for (const { name, bytes, resident, start, end } of storages(joint).all) {
    if (name.startsWith(prefix) || (!resident && (end < first || start > last))) continue;
    const [from, until] = resident ? [first, last] : [Math.max(first, start), Math.min(last, end)];
    change[from - first] = (change[from - first] as number) + bytes;
    change[until - first + 1] = (change[until - first + 1] as number) - bytes;
  }
  let [live, most] = [0, 0];
  for (const bytes of change) {
    live += bytes;
    most = Math.max(most, live);
  }
  return most;
}

const ranksOf = perObject(
  ({ nodes }: Graph): ReadonlyMap<string, number> => new Map(nodes.map(({ name }, rank) => [name, rank])),
);

/** The plan of all steps with those of a problem's states on the host that it names. */
function planTurns(planner: Planner, problem: PlanProblem, turns: readonly Turn[]): ReturnType<Planner> {
  const { states = [], budgetBytes, graph } = problem;
  const joint = states.length ? hostStates(graph, states) : graph;
  /** By the kind of step. */
  const beside = new Map<string, number>();
  for (const turn of turns) beside.set(turn.kind, Math.max(beside.get(turn.kind) ?? 0, besideBytes(joint, turn)));
  const least = new Map<string, number>();
  let waste = 0;
  // at last each as low as its planner gets: what all come to together may fit
  let isLowest = false;
  for (let count = 1; ; count++) {
    const plans = new Map<string, { readonly prefix: string; readonly plan: ReturnType<Planner> }>();
    const choices: Choice[] = [];
    let [leastBytes, feasible] = [0, true];
    for (const turn of turns) {
      const others = beside.get(turn.kind) as number;
      // less than the least that is known of a step is not asked of it: others may give what the layout wastes
      const room = (budgetBytes ?? 0) - others;
      const wanted = Math.min(room, Math.max(least.get(turn.kind) ?? 1, room - waste));
      const own = budgetBytes === null ? null : isLowest ? 1 : Math.max(1, wanted);
      const known = plans.get(turn.kind) ?? { prefix: turn.prefix, plan: planner(problemOf(problem, turn, own)) };
      plans.set(turn.kind, known);
      const { plan, prefix } = known;
      for (const decision of plan.decisions) choices.push(decisionOf(decision, prefix, turn.prefix));
      leastBytes = Math.max(leastBytes, others + plan.minimumPeakBytes);
      least.set(turn.kind, plan.minimumPeakBytes);
      feasible &&= plan.feasible;
    }
    const prefix = judge(problem, choices);
    const fits = (feasible || isLowest) && meets(problem, prefix);
    const over = prefix.arenaBytes() - (budgetBytes ?? Number.POSITIVE_INFINITY);
    const isOver = !feasible || count >= mostTries;
    if (!fits && isOver && !isLowest && budgetBytes !== null) {
      isLowest = true;
      continue;
    }
    if (fits || isOver || over <= 0) {
      const unplanned = judge(problem, []);
      return planOf(
        problem,
        [unplanned, ...choices.map(() => prefix)],
        prefix,
        fits,
        fits ? Math.min(leastBytes, prefix.arenaBytes()) : Math.max(leastBytes, prefix.arenaBytes()),
      );
    }
    waste += over;
  }
}

/**
 * A planner for steps that follow one another in one graph: what each holds in between is gone when the next begins, so each
 * is planned for itself, within what lives beside it; steps of the same nodes and shapes once. Where that does not suffice,
 * or takes time, the states of some are on the host while others run.
 */
export const inTurn =
  (planner: Planner): Planner =>
  (problem) => {
    const turns = turnsOf(problem.graph)?.all as readonly Turn[];
    const options = stateOptions(problem);
    const groups = turns
      .map(({ prefix }) => groupOf(options.filter(({ name }) => name.startsWith(prefix))))
      .filter(({ bytes }) => bytes > 0);
    return withStates(problem, planTurns(planner, problem, turns), {
      groups,
      chosen: (count) => spread(groups, count),
      // two places: what leaves and what comes next lie beside what runs
      placed: [2, 1].map(
        (places) => (taken) =>
          placedInTurn(
            problem,
            taken.map(({ states }) => states),
            places,
          ),
      ),
      planWith: (states, placements) => ({
        ...planTurns(planner, { ...problem, states: placements, stateMs: copyTimes(states) }, turns),
        states: decided(states, placements),
      }),
      // each step's own copies are within it
      planWaiting: (states, placements) => {
        const own = hosted(problem, states, placements);
        return {
          ...planTurns(planner, own, turnsOf(own.graph)?.all as readonly Turn[]),
          states: decided(states, placements),
        };
      },
    });
  };

/** So many of a list, evenly spread, the ends last: a copy can hide beside those that stay in between. */
const spread = <T>(all: readonly T[], count: number): T[] =>
  Array.from({ length: count }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / count)] as T);
