import { categories, type Graph, type Node, tensorOf } from "../graph/graph.js";
import { originalName } from "../graph/names.js";
import { savedActivations } from "../memory/activations.js";
import { peakHolders, timeline } from "../memory/liveness.js";
import { stateUses } from "../memory/state-uses.js";
import { memberOf } from "../plan/multiplex/ring.js";
import type { Plan, PlannedRing } from "../plan/plan.js";
import { shown } from "../schema.js";
import { differs, firstOf, namesOf, repeated, unknown } from "./contradiction.js";
import { contradictionInGraph } from "./graph-checks.js";
import { bytesOf, rowOp } from "./node-rows.js";
import type { Profile } from "./profile.js";
import { loadGraph, type Run } from "./run.js";
import type { Samples } from "./samples.js";
import { togetherFits } from "./together-checks.js";

/*
 * How the parts of a run fit each other: graph, tables, timeline, plan.
 */

/** What does not fit, with its place in run.json; undefined where everything does. */
type Check = (run: Run, graph: Graph) => string | undefined;

/** A row for each node in the order of the schedule, and what it says of memory is what follows from the graph. */
function nodeRowsFit(rows: Profile["nodes"], graph: Graph): string | undefined {
  if (rows.length !== graph.nodes.length) return `before.nodes has ${rows.length} rows for ${graph.nodes.length} nodes`;
  return firstOf(rows, (row, rank) => {
    const node = graph.nodes[rank] as Node;
    const place = `before.nodes[${rank}]`;
    const bytes = bytesOf(graph, node);
    return (
      differs(`${place}.name`, row.name, node.name) ||
      differs(`${place}.op`, row.op, rowOp(node)) ||
      differs(`${place}.phase`, row.phase, node.phase) ||
      differs(`${place}.inputBytes`, row.inputBytes, bytes.inputBytes) ||
      differs(`${place}.outputBytes`, row.outputBytes, bytes.outputBytes) ||
      differs(`${place}.activeBytes`, row.activeBytes, bytes.activeBytes)
    );
  });
}

/** A row for each saved activation, and what it says of memory and of who reads it is what follows from the graph. */
function activationRowsFit(rows: Profile["activations"], graph: Graph): string | undefined {
  const saved = [...savedActivations(graph).values()];
  const nodes = new Set(namesOf(graph.nodes));
  if (rows.length !== saved.length) return `before.activations has ${rows.length} rows, and ${saved.length} are saved`;
  return firstOf(rows, (row, i) => {
    const place = `before.activations[${i}]`;
    const activation = saved[i] as (typeof saved)[number];
    const { dtype, shape } = tensorOf(graph, activation.name);
    return (
      differs(`${place}.name`, row.name, activation.name) ||
      differs(`${place}.producer`, row.producer, graph.nodes[activation.created]?.name) ||
      differs(`${place}.dtype`, row.dtype, dtype) ||
      differs(`${place}.shape`, row.shape.join(), shape.join()) ||
      differs(`${place}.memoryBytes`, row.memoryBytes, activation.bytes) ||
      differs(`${place}.createdRank`, row.createdRank, activation.created) ||
      differs(`${place}.firstForwardAccess`, row.firstForwardAccess, activation.firstForwardAccess) ||
      differs(`${place}.lastForwardAccess`, row.lastForwardAccess, activation.lastForwardAccess) ||
      differs(`${place}.firstBackwardAccess`, row.firstBackwardAccess, activation.firstBackwardAccess) ||
      differs(`${place}.lastBackwardAccess`, row.lastBackwardAccess, activation.lastBackwardAccess) ||
      ((row.fixed === null) !== (activation.fixed === null) &&
        `${place}.fixed is ${shown(row.fixed)}, not ${shown(activation.fixed)}`) ||
      unknown(`${place}.recomputeSources`, row.recomputeSources, graph.tensors, "tensor") ||
      unknown(`${place}.recomputeNodes`, row.recomputeNodes, nodes, "node")
    );
  });
}

/** Each node row lists the activations whose last forward or first backward use it is. */
function usesFit({ nodes, activations }: Profile): string | undefined {
  const usesBy = (rankOf: (row: Profile["activations"][number]) => number): ReadonlyMap<number, string> => {
    const names = new Map<number, string[]>();
    for (const row of activations) {
      const list = names.get(rankOf(row));
      if (list) list.push(row.name);
      else names.set(rankOf(row), [row.name]);
    }
    return new Map([...names].map(([rank, list]) => [rank, JSON.stringify(list)]));
  };
  const last = usesBy((row) => row.lastForwardAccess);
  const first = usesBy((row) => row.firstBackwardAccess);
  return firstOf(nodes, (row, rank) => {
    if (JSON.stringify(row.lastForwardUses) !== (last.get(rank) ?? "[]"))
      return `before.nodes[${rank}].lastForwardUses is ${shown(row.lastForwardUses)}, and the activations' rows say else`;
    return (
      JSON.stringify(row.firstBackwardUses) !== (first.get(rank) ?? "[]") &&
      `before.nodes[${rank}].firstBackwardUses is ${shown(row.firstBackwardUses)}, and the activations' rows say else`
    );
  });
}

/** Live bytes of a profile: its parts make its sums, and the peak is the greatest of them. */
function timelineFits(place: string, profile: Profile): string | undefined {
  const { nodes, timeline: memory, arenaBytes } = profile;
  const { byCategory, totalBytes, peakBytes, peakRank } = memory;
  for (const name of ["totalBytes", ...categories] as const) {
    const { length } = name === "totalBytes" ? totalBytes : byCategory[name];
    const where = name === "totalBytes" ? name : `byCategory.${name}`;
    if (length !== nodes.length) return `${place}.timeline.${where} has ${length} values for ${nodes.length} nodes`;
  }
  let greatest = 0;
  totalBytes.forEach((bytes, rank) => {
    if (bytes > (totalBytes[greatest] ?? 0)) greatest = rank;
  });
  return (
    firstOf(
      totalBytes,
      (bytes, rank) =>
        differs(
          `${place}.timeline.totalBytes[${rank}]`,
          bytes,
          categories.reduce((sum, category) => sum + (byCategory[category][rank] as number), 0),
        ) || differs(`${place}.nodes[${rank}].liveBytes`, nodes[rank]?.liveBytes, bytes),
    ) ||
    firstOf(nodes, (row, rank) => differs(`${place}.nodes[${rank}].rank`, row.rank, rank)) ||
    (nodes.length > 0 && differs(`${place}.timeline.peakRank`, peakRank, greatest)) ||
    (nodes.length > 0 && differs(`${place}.timeline.peakBytes`, peakBytes, totalBytes[greatest])) ||
    (arenaBytes < peakBytes && `${place}.arenaBytes is ${arenaBytes}, less than its peak of ${peakBytes}`) ||
    holdersFit(place, profile) ||
    undefined
  );
}

/** Who holds the peak adds up to it. */
function holdersFit(place: string, { peakHolders, timeline: { peakBytes } }: Profile): string | false {
  const held = peakHolders.reduce((sum, { bytes }) => sum + bytes, 0);
  return held !== peakBytes && `${place}.peakHolders hold ${held} bytes of a peak of ${peakBytes}`;
}

/** Median and mean lie between the least and the greatest sample. */
function samplesFit(place: string, { samplesMs, medianMs, meanMs }: Samples): string | false {
  if (samplesMs.length === 0) return `${place}.samplesMs is empty`;
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const ms of samplesMs) {
    if (ms < least) least = ms;
    if (ms > most) most = ms;
  }
  const isOutside = (ms: number): boolean => ms < least * (1 - 1e-9) || ms > most * (1 + 1e-9);
  if (isOutside(medianMs)) return `${place}.medianMs is ${medianMs}, and its samples from ${least} to ${most}`;
  return isOutside(meanMs) && `${place}.meanMs is ${meanMs}, and its samples from ${least} to ${most}`;
}

/** The measured times of a profile, and the workspace of its kernels. Of a run of tables samples are not known. */
function measuresFit(place: string, { backend, nodes, step, eagerStep, offloaded, workspaceBytes }: Profile) {
  const mostBytes = nodes.reduce((most, row) => Math.max(most, row.workspaceBytes ?? 0), 0);
  if (workspaceBytes === null ? nodes.some((row) => row.workspaceBytes !== null) : workspaceBytes < mostBytes)
    return `${place}.workspaceBytes is ${workspaceBytes}, and ${mostBytes} of one of the nodes`;
  if (backend === "tables") return undefined;
  return (
    firstOf(nodes, ({ time }, rank) => samplesFit(`${place}.nodes[${rank}].time`, time)) ||
    samplesFit(`${place}.step`, step) ||
    (eagerStep && samplesFit(`${place}.eagerStep`, eagerStep)) ||
    (offloaded && samplesFit(`${place}.offloaded.step`, offloaded.step)) ||
    undefined
  );
}

/** The timeline of the unplanned step is that of its graph, and so is who holds its peak. */
function timelineOfGraphFits({ timeline: memory, peakHolders: listed }: Profile, graph: Graph): string | undefined {
  const made = timeline(graph);
  for (const category of categories) {
    const rank = memory.byCategory[category].findIndex((bytes, i) => bytes !== made.byCategory[category][i]);
    if (rank >= 0)
      return `before.timeline.byCategory.${category}[${rank}] is ${memory.byCategory[category][rank]}, and ${made.byCategory[category][rank]} follows from the graph`;
  }
  const holders = peakHolders(graph, made.peakRank);
  return (
    differs("before.timeline.residentBytes", memory.residentBytes, made.residentBytes) ||
    firstOf(holders, ({ name, bytes, category, producer }, i) => {
      const place = `before.peakHolders[${i}]`;
      const held = listed[i];
      return (
        differs(`${place}.name`, held?.name, name) ||
        differs(`${place}.bytes`, held?.bytes, bytes) ||
        differs(`${place}.category`, held?.category, category) ||
        differs(`${place}.producer`, held?.producer, producer)
      );
    }) ||
    undefined
  );
}

/** Decisions on activations that there are, places that there are, sums that add up. */
function planFits(plan: Plan, before: Profile, graph: Graph): string | undefined {
  const rows = new Map(before.activations.map((row) => [row.name, row]));
  const nodes = new Set(namesOf(graph.nodes));
  const known = stateUses(graph);
  const states = plan.states ?? [];
  const moved = new Set(states.map(({ state }) => state));
  // of the planned step: copies and parts of swaps go by what they are copies and parts of
  const isPlanned = (name: string): boolean =>
    nodes.has(name) || moved.has(name) || (originalName(name) !== name && isPlanned(originalName(name)));
  const { decisions, budgetBytes, peakBytes, feasible, kept, timelinePeakBytes, obstacle, constraints, ring } = plan;
  const made = decisions.filter(({ action }) => action !== "keep").length;
  return (
    repeated(
      "plan.decisions",
      decisions.map(({ activation }) => activation),
    ) ||
    firstOf(decisions, (decision, i) => {
      const place = `plan.decisions[${i}]`;
      const row = rows.get(decision.activation);
      if (!row) return `${place}.activation is ${shown(decision.activation)}, which is no saved activation`;
      if (decision.action === "recompute" && row.fixed !== null)
        return `${place} recomputes what cannot be: ${shown(row.fixed, 60)}`;
      if (decision.held && decision.action !== "recompute") return `${place}.held, and it is a ${decision.action}`;
      if (decision.swap && decision.action !== "swap") return `${place}.swap, and it is a ${decision.action}`;
      if (decision.savedBytes > row.memoryBytes)
        return `${place}.savedBytes is ${decision.savedBytes}, and the activation has ${row.memoryBytes}`;
      const [strange] = [decision.swap?.outDone, decision.swap?.prefetch].filter((name) => name && !isPlanned(name));
      return strange !== undefined && `${place}.swap names ${shown(strange)}, which is no node`;
    }) ||
    repeated(
      "plan.states",
      states.map(({ state }) => state),
    ) ||
    firstOf(states, ({ state, prefetch, outDone }, i) => {
      if (!known.has(state)) return `plan.states[${i}].state is ${shown(state)}, which is no state`;
      const [strange] = [prefetch, outDone].filter((name) => name && !nodes.has(name)) as string[];
      return strange !== undefined && `plan.states[${i}] names ${shown(strange)}, which is no node`;
    }) ||
    (kept + made !== rows.size && `plan.kept is ${kept}, with ${made} decisions on ${rows.size} activations`) ||
    (timelinePeakBytes > peakBytes && `plan.timelinePeakBytes is ${timelinePeakBytes}, more than ${peakBytes}`) ||
    (feasible && budgetBytes !== null && peakBytes > budgetBytes
      ? `plan.feasible is true, and its peak of ${peakBytes} is above its budget of ${budgetBytes}`
      : undefined) ||
    (obstacle && !isPlanned(obstacle.node)
      ? `plan.obstacle.node is ${shown(obstacle.node)}, which is no node`
      : undefined) ||
    unknown("plan.constraints.keep", constraints?.keep ?? [], rows, "saved activation") ||
    (ring && ringFits(ring, nodes))
  );
}

/** Members of a ring have nodes, and what stands before something are nodes too. */
function ringFits({ members, before }: PlannedRing, nodes: ReadonlySet<string>): string | undefined {
  const scopes = new Set([...nodes].map((name) => memberOf({ name })));
  return (
    repeated("plan.ring.members", members) ||
    unknown("plan.ring.members", members, scopes, "model or sub-array of the step") ||
    (members.length < 2 ? `plan.ring has ${members.length} members` : undefined) ||
    unknown("plan.ring.before", Object.entries(before).flat(), nodes, "node")
  );
}

/** What was made of a plan is there only with one. */
function outcomeFits({ plan, after, equality, paired }: Run): string | undefined {
  if (!plan) {
    const [strange] = Object.entries({ after, equality, paired }).filter(([, part]) => part !== null);
    return strange && `${strange[0]} is there, and plan is null`;
  }
  if (!after) return equality || paired ? "equality or paired is there, and after is null" : undefined;
  if (equality && equality.different.length > equality.compared)
    return `equality.different has ${equality.different.length} of ${equality.compared} tensors`;
  if (equality?.bitwise && (equality.different.length || equality.worstRelativeError !== 0))
    return "equality.bitwise is true, and some differ";
  if (equality?.deterministic && !equality.bitwise && !equality.different.length && !equality.unstable)
    return "equality.bitwise is false, and none differs";
  return (
    (paired && (samplesFit("paired.unplanned", paired.unplanned) || samplesFit("paired.planned", paired.planned))) ||
    undefined
  );
}

/** In this order: each may rely on those before it. */
const checks: readonly Check[] = [
  (run, graph) => contradictionInGraph(run.graph, graph),
  ({ before }, graph) => nodeRowsFit(before.nodes, graph),
  ({ before }) => timelineFits("before", before),
  ({ before }, graph) => timelineOfGraphFits(before, graph),
  ({ before }, graph) => activationRowsFit(before.activations, graph),
  ({ before }) => usesFit(before),
  ({ before }) => measuresFit("before", before),
  ({ plan, before }, graph) => (plan && planFits(plan, before, graph)) || undefined,
  (run) => outcomeFits(run),
  (run) => togetherFits(run),
  ({ after }) => (after && (timelineFits("after", after) ?? measuresFit("after", after))) || undefined,
];

/** What does not fit in a run whose parts are what they should be, with its place in run.json; undefined if all does. */
export function contradictionIn(run: Run): string | undefined {
  const graph = loadGraph(run.graph);
  return firstOf(checks, (check) => check(run, graph));
}
