import { type Graph, type Node, tensorBytes, tensorOf } from "../../graph/graph.js";
import { knownName } from "../../graph/names.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { activationAccesses } from "../../memory/activations.js";
import { timeline } from "../../memory/liveness.js";
import { storages } from "../../memory/storages.js";
import { opOf } from "../../ops/index.js";
import { allowedActions } from "../allowed.js";
import { pcieLink } from "../link.js";
import type { Decision, SwapPlacement } from "../plan.js";
import { rewrite } from "../rewrite.js";
import { swapPlacement } from "../swap-placement.js";
import type { FeatureMap, SubArray } from "./half.js";
import { type HalfPlan, ringPlan } from "./policy.js";
import { type Ring, sectionsOf } from "./ring.js";

/** A joint step with the time of each node and the activation table, as the printed algorithms are to plan it. */
interface Joint {
  readonly graph: Graph;
  readonly nodeMs: readonly number[];
  readonly rows: readonly ActivationRow[];
}

type Choice = Pick<Decision, "activation" | "action" | "swap">;

/** What the printed algorithms decide for a joint step: the order of the ring, and what becomes of activations. */
export interface PrintedRing {
  readonly ring: Ring;
  readonly decisions: readonly Choice[];
  /** By Algorithm G, the most of all halves. */
  readonly peakBytes: number;
  /** By Algorithm G. */
  readonly feasible: boolean;
  /** Which cases of Algorithm C the swaps are, and how often. */
  readonly cases: Readonly<Record<string, number>>;
}

/** Each member of a joint step as a sub-array of its own. */
function subArraysOf({ graph, nodeMs, rows }: Joint, ring: Pick<Ring, "members" | "own">): SubArray[] {
  const { residentBytes } = timeline(graph);
  const { of } = storages(graph);
  const rank = new Map(graph.nodes.map((node, index) => [node, index]));
  const allowed = allowedActions({ graph, rows, nodeMs, budgetBytes: null });
  const activeBytes = (node: Node): number => {
    if (opOf(node).view) return residentBytes;
    const names = new Set([...node.inputs, ...node.outputs].filter((name) => name && !of.get(name)?.storage.resident));
    return [...names].reduce((sum, name) => sum + tensorBytes(tensorOf(graph, name)), residentBytes);
  };
  return sectionsOf(graph.nodes, ring).sections.map(({ forward, rest }): SubArray => {
    const nodes = [...forward, ...rest];
    const own = new Map(nodes.map((node, index) => [rank.get(node) as number, index]));
    const at = (of: number): number => own.get(of) ?? -1;
    const maps = rows.flatMap((row): FeatureMap[] => {
      const may = allowed.get(row.name);
      if (at(row.createdRank) < 0 || !(may?.recompute || may?.swap)) return [];
      const [lastForwardAccess, firstBackwardAccess] = [at(row.lastForwardAccess), at(row.firstBackwardAccess)];
      const lastBackwardAccess = at(row.lastBackwardAccess);
      if (lastForwardAccess >= forward.length || firstBackwardAccess < forward.length) return [];
      return [{ ...row, createdRank: at(row.createdRank), lastForwardAccess, firstBackwardAccess, lastBackwardAccess }];
    });
    const timed = nodes.map((node) => ({
      name: node.name,
      ms: nodeMs[rank.get(node) as number] as number,
      activeBytes: activeBytes(node),
    }));
    return { nodes: timed, forwardCount: forward.length, maps, staticBytes: residentBytes };
  });
}

/** By forward node the backward node that it stands before in the halves' merged schedules. */
function beforeOf(subArrays: readonly SubArray[], plans: readonly HalfPlan[]): Map<string, string> {
  const before = new Map<string, string>();
  plans.forEach(({ order }, i) => {
    const [own, next] = [subArrays[i] as SubArray, subArrays[(i + 1) % subArrays.length] as SubArray];
    let at: string | undefined;
    for (const { isForward, rank } of [...order].reverse())
      if (!isForward) at = own.nodes[rank]?.name;
      else if (at !== undefined) before.set(next.nodes[rank]?.name as string, at);
  });
  return before;
}

/** What leaves, with the nodes at which copies end and begin: no prompt is later than the first use in the planned step. */
function decisionsOf(
  { graph, nodeMs, rows }: Joint,
  subArrays: readonly SubArray[],
  plans: readonly HalfPlan[],
): Choice[] {
  const prompts = new Map<string, string>();
  const again: Choice[] = [];
  plans.forEach(({ evicted }, i) => {
    for (const [activation, { prompt }] of evicted)
      if (prompt) prompts.set(activation, subArrays[i]?.nodes[prompt.rank]?.name as string);
      else again.push({ activation, action: "recompute" });
  });
  const planned = rewrite(graph, again);
  const ranks = new Map(planned.nodes.map(({ name }, rank) => [name, rank]));
  const ms = new Map(graph.nodes.map(({ name }, rank) => [name, nodeMs[rank] as number]));
  const swapMs = new Map(rows.flatMap((row) => (prompts.has(row.name) ? [[row.name, row.swapMs] as const] : [])));
  const times = planned.nodes.map(({ name }) => ms.get(knownName(name, ms)) as number);
  const [first] = subArrays;
  const join = first?.nodes[first.forwardCount]?.name;
  const placed = swapPlacement(planned, times, swapMs, pcieLink, undefined, join);
  const accesses = activationAccesses(planned);
  const nameOf = (rank: number): string => planned.nodes[rank]?.name ?? "";
  const swaps = [...prompts].map(([activation, at]): Choice => {
    const { lastForwardAccess = 0, firstBackwardAccess = 0 } = accesses.get(activation) ?? {};
    const begin = ranks.get(at) ?? firstBackwardAccess;
    const prefetch = Math.max(lastForwardAccess + 1, Math.min(begin, firstBackwardAccess));
    const away = ranks.get((placed.get(activation) as SwapPlacement).outDone) ?? prefetch;
    const swap = { outDone: nameOf(Math.min(away, prefetch)), prefetch: nameOf(prefetch) };
    return { activation, action: "swap", swap };
  });
  return [...again, ...swaps];
}

/**
 * μ-TWO to the letter for the members of a joint step in a ring, its defects mended: Algorithms B, C and G for each half.
 * Algorithm G decides when to stop; what that really needs and takes is told by what is executed.
 */
export function printedRing(joint: Joint, members: readonly string[], stages: number, limitBytes: number): PrintedRing {
  const own = new Set(joint.graph.nodes.map(({ name }) => name));
  const subArrays = subArraysOf(joint, { members, own });
  const plans = ringPlan(subArrays, limitBytes);
  const cases: Record<string, number> = {};
  for (const { swaps } of plans) for (const swap of swaps) cases[swap.case] = (cases[swap.case] ?? 0) + 1;
  return {
    ring: { members, own, before: beforeOf(subArrays, plans), stages },
    decisions: decisionsOf(joint, subArrays, plans),
    peakBytes: plans.reduce((most, { peakBytes }) => Math.max(most, peakBytes), 0),
    feasible: plans.every(({ feasible }) => feasible),
    cases,
  };
}
