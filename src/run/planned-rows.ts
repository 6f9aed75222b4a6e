import type { Graph } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { knownName } from "../graph/names.js";
import { type ActivationRow, ratioOf } from "../memory/activation-rows.js";
import { type PeakHolder, peakHolders, type Timeline, timeline } from "../memory/liveness.js";
import { type Interval, peakInterval } from "../memory/peak-interval.js";
import { opOf } from "../ops/index.js";
import { executedGraph } from "../plan/executed.js";
import type { Decision, Plan } from "../plan/plan.js";
import { copyTimes } from "./copy-times.js";
import { copyMs, type NodeRow, tables } from "./node-rows.js";
import { copiesOf, type RecomputedCopy } from "./recomputed-copies.js";
import {
  type Copied,
  type Hints,
  hintedRow,
  noHints,
  type PlannedActivationRow,
  type PlannedNodeRow,
  placedRow,
} from "./row-fields.js";
import { loadGraph, type Run } from "./run.js";
import { samplesOf } from "./samples.js";
import { wiring } from "./wiring.js";

/** Which of a run's steps. */
export type Which = "unplanned" | "planned";

/** A function of a run and one of its steps, which computes its answer once for each. */
export function perStep<T extends object>(compute: (run: Run, which: Which) => T): Record<Which, (run: Run) => T> {
  return {
    unplanned: perObject((run: Run) => compute(run, "unplanned")),
    planned: perObject((run: Run) => compute(run, "planned")),
  };
}

/** Both tables of a step. */
export interface Rows {
  readonly nodes: readonly PlannedNodeRow[];
  readonly activations: readonly PlannedActivationRow[];
}

type Source = Pick<Run, "graph" | "before" | "plan" | "after">;

/** Planned graphs that were made, by the plan and the graph that they were made from. */
const plannedGraphs = new WeakMap<Plan, { readonly graph: Run["graph"]; readonly planned: Graph }>();

/** The planned step's graph, made once; undefined without a plan. */
export function plannedGraph({ graph, plan }: Pick<Run, "graph" | "plan">): Graph | undefined {
  if (!plan) return undefined;
  const known = plannedGraphs.get(plan);
  if (known?.graph === graph) return known.planned;
  const planned = executedGraph(loadGraph(graph), plan).graph;
  plannedGraphs.set(plan, { graph, planned });
  return planned;
}

/** Intervals that were found, by the timeline and the budget: each activation's row asks for it. */
const peakIntervals = perObject((_: Timeline): Map<number, Interval | undefined> => new Map());

/** The nodes of the unplanned step at which more lives than the budget, around its peak; undefined if there are none. */
export function peakIntervalOf({ before, plan }: Pick<Run, "before" | "plan">): Interval | undefined {
  if (typeof plan?.budgetBytes !== "number") return undefined;
  const known = peakIntervals(before.timeline);
  if (!known.has(plan.budgetBytes))
    known.set(plan.budgetBytes, peakInterval(before.timeline.totalBytes, plan.budgetBytes));
  return known.get(plan.budgetBytes);
}

/** Where a step needs most memory: the node, and who lives there. */
export interface Peak {
  readonly node: Pick<NodeRow, "name" | "op" | "phase">;
  /** All that lives there, by the timeline: without the layout's waste. */
  readonly bytes: number;
  /** The storages that live there, largest first. */
  readonly holders: readonly PeakHolder[];
}

/**
 * Where the planned step needs most memory, executed or not, of an infeasible plan too: it follows from the planned
 * graph. `undefined` without a plan.
 */
export function plannedPeak(run: Pick<Run, "graph" | "plan">): Peak | undefined {
  const planned = plannedGraph(run);
  if (!planned) return undefined;
  const { peakRank, peakBytes } = timeline(planned);
  const { name, domain, op, phase } = planned.nodes[peakRank] as Graph["nodes"][number];
  return {
    node: { name, op: domain ? `${domain}.${op}` : op, phase },
    bytes: peakBytes,
    holders: peakHolders(planned, peakRank),
  };
}

/** The tables before planning: nothing is evicted, and a recomputation counts once, from what is kept. */
export const unplannedRows = perObject((run: Pick<Run, "graph" | "before" | "plan">): Rows => {
  const { before } = run;
  const wired = wiring(loadGraph(run.graph));
  return {
    nodes: before.nodes.map((row, rank) => hintedRow(row, wired[rank], noHints, run.plan)),
    activations: before.activations.map((row) =>
      placedRow(row, common(run, row), {
        prefetchPrompt: null,
        activeForward: { first: row.createdRank, last: row.lastForwardAccess },
        activeBackward: { first: row.firstBackwardAccess, last: row.lastBackwardAccess },
      }),
    ),
  };
});

function common(run: Pick<Run, "before" | "plan">, row: ActivationRow): Copied {
  const copies = run.before.copies ?? [];
  const interval = peakIntervalOf(run);
  const isLive = interval && row.createdRank <= interval.last && interval.first <= row.lastBackwardAccess;
  return {
    swapOutMs: copies.length ? copyMs(copies, row.memoryBytes, ({ toHostMs }) => toHostMs) : row.swapMs,
    swapInMs: copies.length ? copyMs(copies, row.memoryBytes, ({ toDeviceMs }) => toDeviceMs) : row.swapMs,
    inPeakInterval: typeof run.plan?.budgetBytes === "number" ? Boolean(isLive) : null,
  };
}

/**
 * The tables after planning: nodes of the planned step, with its measured times where it was executed, else with those
 * of the same nodes of the unplanned step; activations with how often each is made again there. The times of all copies
 * of nodes add up to the sum of the activations' totals. `undefined` without a plan.
 */
export const plannedRows = perObject((run: Source): Rows | undefined => {
  const { plan, before, after } = run;
  const planned = plannedGraph(run);
  if (!plan || !planned) return undefined;
  const graph = loadGraph(run.graph);
  const own = new Map(graph.nodes.map(({ name }, rank) => [name, rank]));
  const rows = new Map(before.activations.map((row) => [row.name, row]));
  const decided = new Map(plan.decisions.map((decision) => [decision.activation, decision]));
  const copies = copiesOf(graph, planned, new Set(recomputed(plan.decisions)), (rank) => timeOf(before.nodes, rank));
  const nodeRows = executedRows(after, planned) ?? simulatedRows(planned, own, copyTimes(run), before.nodes);
  const placeOf = places(planned, own);
  const hints = hintsOf(plan, rows, copies, placeOf);
  const wired = wiring(planned);
  return {
    nodes: nodeRows.map((row, rank) =>
      hintedRow(row, wired[rank], hints.get(own.get(row.name) ?? -1) ?? noHints, plan),
    ),
    activations: before.activations.map((row): PlannedActivationRow => {
      const decision = decided.get(row.name);
      const { activeForward, activeBackward } = residence(row, decision, copies.get(row.name), placeOf);
      return placedRow({ ...row, ...again(row, copies.get(row.name)) }, common(run, row), {
        prefetchPrompt: decision?.action === "swap" ? (decision.swap?.prefetch ?? null) : null,
        activeForward,
        activeBackward,
      });
    }),
  };
});

/** The rows of the planned step as it was executed; undefined where it was not, or under names of another version. */
export const executedRows = (after: Run["after"], planned: Graph): readonly NodeRow[] | undefined =>
  after?.nodes.length === planned.nodes.length && after.nodes.every(({ name }, i) => name === planned.nodes[i]?.name)
    ? after.nodes
    : undefined;

const recomputed = (decisions: readonly Decision[]): string[] =>
  decisions.flatMap(({ action, activation }) => (action === "recompute" ? [activation] : []));

const timeOf = (nodes: readonly NodeRow[], rank: number): number => nodes[rank]?.time.medianMs ?? 0;

/** How often an activation is made again in the planned step, and what that takes. */
function again(row: ActivationRow, made: readonly RecomputedCopy[] = []): Partial<ActivationRow> {
  const count = made.filter(({ isMade }) => isMade).length;
  const totalRecomputeMs = made.reduce((sum, { ms }) => sum + ms, 0);
  const [first] = made;
  return {
    recomputeCount: count,
    recomputeMs: count ? totalRecomputeMs / count : row.recomputeMs,
    totalRecomputeMs,
    recomputeRatio: count ? ratioOf(row.memoryBytes, totalRecomputeMs) : null,
    ...(first ? { recomputeSources: first.sources, recomputeNodes: first.block } : {}),
  };
}

/** The node of the unplanned step that each node of the planned one is, or stands before: by name. */
function places(planned: Graph, own: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  let next = own.size - 1;
  for (const { name } of [...planned.nodes].reverse()) {
    next = own.get(name) ?? next;
    found.set(name, next);
  }
  return found;
}

function residence(
  row: ActivationRow,
  decision: Decision | undefined,
  made: readonly RecomputedCopy[] | undefined,
  placeOf: ReadonlyMap<string, number>,
): Pick<PlannedActivationRow, "activeForward" | "activeBackward"> {
  const { createdRank, lastForwardAccess, firstBackwardAccess, lastBackwardAccess } = row;
  const swap = decision?.action === "swap" ? decision.swap : undefined;
  const begins = swap ? placeOf.get(swap.prefetch) : decision?.held && placeOf.get(made?.[0]?.node ?? "");
  return {
    activeForward: {
      first: createdRank,
      last: swap ? Math.max(lastForwardAccess, (placeOf.get(swap.outDone) ?? 0) - 1) : lastForwardAccess,
    },
    activeBackward: { first: begins || firstBackwardAccess, last: lastBackwardAccess },
  };
}

/** What is done at each node of the unplanned step, by rank. */
function hintsOf(
  { decisions }: Plan,
  rows: ReadonlyMap<string, ActivationRow>,
  copies: ReadonlyMap<string, readonly RecomputedCopy[]>,
  placeOf: ReadonlyMap<string, number>,
): ReadonlyMap<number, Hints> {
  const hints = new Map<number, Hints>();
  const add = (rank: number, kind: keyof Hints, name: string): void => {
    const known = hints.get(rank) ?? { toOffload: [], toDelete: [], toPrefetch: [], toRecompute: [] };
    known[kind].push(name);
    hints.set(rank, known);
  };
  for (const { activation, action, swap, held } of decisions) {
    const row = rows.get(activation);
    if (!row) continue;
    if (action === "swap") {
      add(row.lastForwardAccess, "toOffload", activation);
      add((swap && placeOf.get(swap.prefetch)) ?? row.firstBackwardAccess, "toPrefetch", activation);
    } else if (action === "recompute") {
      add(row.lastForwardAccess, "toDelete", activation);
      const first = held && placeOf.get(copies.get(activation)?.[0]?.node ?? "");
      add(first || row.firstBackwardAccess, "toRecompute", activation);
    }
  }
  return hints;
}

/** Rows of a planned step that was not executed: times of the same nodes of the unplanned one. */
function simulatedRows(
  planned: Graph,
  own: ReadonlyMap<string, number>,
  copies: ReadonlyMap<string, number>,
  before: readonly NodeRow[],
): readonly NodeRow[] {
  const times = planned.nodes.map((node) => {
    const { swap } = opOf(node);
    const isCopy = swap === "out" || swap === "in";
    if (swap) return samplesOf([(isCopy && copies.get(knownName(node.name, copies))) || 0]);
    return samplesOf([timeOf(before, own.get(knownName(node.name, own)) ?? -1)]);
  });
  return tables(planned, times, null, null).nodes.map((row) => ({
    ...row,
    workspaceBytes: before[own.get(knownName(row.name, own)) ?? -1]?.workspaceBytes ?? null,
  }));
}
