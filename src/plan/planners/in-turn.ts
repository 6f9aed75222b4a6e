import type { Graph, Node, Tensor } from "../../graph/graph.js";
import { perObject } from "../../graph/memo.js";
import { timeline } from "../../memory/liveness.js";
import type { Decision, Planner, PlanProblem } from "../plan.js";
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
  const nodeMs = problem.nodeMs.slice(first, first + graph.nodes.length);
  const sum = (all: readonly number[]): number => all.reduce((total, ms) => total + ms, 0);
  return {
    ...problem,
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
function asOf(decision: Decision, from: string, to: string): Choice {
  const renamed = (name: string): string => `${to}${name.slice(from.length)}`;
  const { activation, swap, why, order: _order, peakBytesAfter: _peak, ...rest } = decision;
  return {
    ...rest,
    activation: renamed(activation),
    ...(swap && { swap: { outDone: renamed(swap.outDone), prefetch: renamed(swap.prefetch) } }),
    why: why.replaceAll(from, to),
  };
}

/**
 * A planner for steps that follow one another in one graph: what each holds in between is gone when the next begins, so each
 * is planned for itself, within what the others' residents leave; steps of the same nodes and shapes once.
 */
export const inTurn =
  (planner: Planner): Planner =>
  (problem) => {
    const turns = turnsOf(problem.graph)?.all as readonly Turn[];
    const residents = timeline(problem.graph).residentBytes;
    let waste = 0;
    for (let count = 1; ; count++) {
      const plans = new Map<string, { readonly prefix: string; readonly plan: ReturnType<Planner> }>();
      const choices: Choice[] = [];
      let [leastBytes, feasible] = [0, true];
      for (const turn of turns) {
        const others = residents - timeline(turn.graph).residentBytes;
        const own = problem.budgetBytes === null ? null : Math.max(1, problem.budgetBytes - others - waste);
        const known = plans.get(turn.kind) ?? { prefix: turn.prefix, plan: planner(problemOf(problem, turn, own)) };
        plans.set(turn.kind, known);
        const { plan, prefix } = known;
        for (const decision of plan.decisions) choices.push(asOf(decision, prefix, turn.prefix));
        leastBytes = Math.max(leastBytes, others + plan.minimumPeakBytes);
        feasible &&= plan.feasible;
      }
      const prefix = judge(problem, choices);
      const fits = feasible && meets(problem, prefix);
      const over = prefix.arenaBytes() - (problem.budgetBytes ?? Number.POSITIVE_INFINITY);
      if (fits || !feasible || over <= 0 || count === mostTries) {
        const unplanned = judge(problem, []);
        return planOf(
          problem,
          [unplanned, ...choices.map(() => prefix)],
          prefix,
          fits,
          Math.max(leastBytes, fits ? 0 : prefix.arenaBytes()),
        );
      }
      waste += over;
    }
  };
