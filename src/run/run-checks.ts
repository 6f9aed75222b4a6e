import { NodeError } from "../graph/errors.js";
import { categories, type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { activationAccesses } from "../memory/activations.js";
import { timeline } from "../memory/liveness.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { Plan } from "../plan/plan.js";
import { shown } from "../schema.js";
import { bytesOf, rowOp } from "./node-rows.js";
import type { Profile } from "./profile.js";
import { loadGraph, type Run, type SavedGraph } from "./run.js";

/*
 * How the parts of a run fit each other: graph, tables, timeline, plan. Each check relies on those before it, and gives
 * what does not fit, the first of it.
 */

/** What does not fit, with its place in run.json; undefined where everything does. */
type Check = (run: Run, graph: Graph) => string | undefined;

/** The first answer there is. */
function firstOf<T>(list: readonly T[], ask: (one: T, index: number) => string | false | undefined) {
  for (let index = 0; index < list.length; index++) {
    const answer = ask(list[index] as T, index);
    if (answer) return answer;
  }
  return undefined;
}

/** A second thing of a name that is one of a kind. */
function repeated(place: string, names: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return firstOf(names, (name, i) => {
    if (seen.has(name)) return `${place}[${i}] is a second ${shown(name)}`;
    seen.add(name);
    return false;
  });
}

/** A name that is not among those there are. */
const unknown = (
  place: string,
  names: readonly string[],
  known: { has(name: string): boolean },
  what: string,
): string | undefined =>
  firstOf(names, (name, i) => !known.has(name) && `${place}[${i}] is ${shown(name)}, which is no ${what}`);

/** A number that another one follows from. */
const differs = (place: string, is: unknown, wanted: unknown): string | false =>
  is !== wanted && `${place} is ${shown(is)}, not ${shown(wanted)}`;

const namesOf = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name);

const unknownState = (which: "before" | "after", { state }: SavedGraph, tensors: Graph["tensors"]) =>
  firstOf(
    state,
    (pair, i) => !tensors.has(pair[which]) && `graph.state[${i}].${which} is ${shown(pair[which])}, which is no tensor`,
  );

/** Names that are given once, places in other tensors, what the graph takes and gives. */
function tensorsFit(saved: SavedGraph, { tensors }: Graph): string | undefined {
  const { inputs, outputs, loss } = saved;
  return (
    repeated("graph.tensors", namesOf(saved.tensors)) ??
    repeated("graph.nodes", namesOf(saved.nodes)) ??
    firstOf(saved.tensors, (tensor, i) => {
      if (!Number.isSafeInteger(tensorBytes(tensor)))
        return `graph.tensors[${i}].shape is ${shown(tensor.shape)}, more than there can be`;
      const data = tensors.get(tensor.name)?.data;
      if (data && data.length !== tensorBytes(tensor))
        return `graph.tensors[${i}].dataBase64 is of ${data.length} bytes, not ${tensorBytes(tensor)}`;
      if (!tensor.within) return false;
      const whole = tensors.get(tensor.within.tensor);
      const end = tensor.within.offsetBytes + tensorBytes(tensor);
      return (
        (!whole || whole.within || whole.name === tensor.name || end > tensorBytes(whole)) &&
        `graph.tensors[${i}].within is ${shown(tensor.within)}, which has no place for it`
      );
    }) ??
    unknown("graph.inputs", inputs, tensors, "tensor") ??
    unknown("graph.outputs", outputs, tensors, "tensor") ??
    unknownState("before", saved, tensors) ??
    unknownState("after", saved, tensors) ??
    (loss !== undefined && !tensors.has(loss) ? `graph.loss is ${shown(loss)}, which is no tensor` : undefined)
  );
}

/** Nodes read tensors that are there by then, and each tensor is made once. */
function scheduleFits({ nodes, tensors }: Graph): string | undefined {
  const made = new Map<string, number>();
  const place = (rank: number): string => `graph.nodes[${rank}]`;
  return (
    firstOf(nodes, ({ outputs }, rank) =>
      firstOf(outputs, (name, i) => {
        if (!name) return false;
        if (!tensors.has(name)) return `${place(rank)}.outputs[${i}] is ${shown(name)}, which is no tensor`;
        if (made.has(name)) return `${place(rank)}.outputs[${i}] is ${shown(name)}, which another node makes`;
        made.set(name, rank);
        return false;
      }),
    ) ??
    firstOf(nodes, ({ inputs }, rank) =>
      firstOf(inputs, (name, i) => {
        if (!name) return false;
        if (!tensors.has(name)) return `${place(rank)}.inputs[${i}] is ${shown(name)}, which is no tensor`;
        return (made.get(name) ?? -1) >= rank && `${place(rank)}.inputs[${i}] is ${shown(name)}, which is made later`;
      }),
    )
  );
}

/** What a node makes is what its op makes of its inputs; where a constant that decides it is not saved, anything. */
function typesFit(graph: Graph): string | undefined {
  return firstOf(graph.nodes, (node, rank) => {
    const place = `graph.nodes[${rank}]`;
    const op = known(node);
    if (typeof op === "string") return `${place}.op: ${op}`;
    if (op.hostInputs.some((i) => node.inputs[i] && !graph.tensors.get(node.inputs[i])?.data)) return false;
    try {
      const types = op.infer(callOf(node, graph.tensors));
      return firstOf(node.outputs, (name, i) => {
        if (!name) return false;
        const { dtype, shape } = tensorOf(graph, name);
        const type = types[i];
        return (
          (type?.dtype !== dtype || type.shape.join() !== shape.join()) &&
          `tensor ${shown(name)} is ${dtype}[${shape}], and ${place} makes ${type ? `${type.dtype}[${type.shape}]` : "no such output"}`
        );
      });
    } catch (error) {
      return `${place}: ${error instanceof TypeError || error instanceof RangeError ? "attributes and inputs do not fit" : lineOf(error)}`;
    }
  });
}

const lineOf = (error: unknown): string => (error as Error).message.split("\n")[0] as string;

/** The record of a node's op, or why there is none. */
function known(node: Node): ReturnType<typeof opOf> | string {
  try {
    return opOf(node);
  } catch (error) {
    return error instanceof NodeError ? error.message : lineOf(error);
  }
}

/** The entries of the origins lead to entries of their lists, and are of nodes. */
function originsFit({ origins }: Graph): string | undefined {
  if (!origins) return undefined;
  const { modules, sources, nodes } = origins;
  return firstOf(nodes, ([, module, source], i) => {
    const place = `graph.origins.nodes[${i}]`;
    if (module >= modules.length) return `${place} is of module ${module}, and there are ${modules.length}`;
    return (
      source !== undefined && source >= sources.length && `${place} is of source ${source}, and there are ${sources.length}`
    );
  });
}

/** A row for each node in the order of the schedule, and what it says of memory is what follows from the graph. */
function nodeRowsFit(rows: Profile["nodes"], graph: Graph): string | undefined {
  if (rows.length !== graph.nodes.length)
    return `before.nodes has ${rows.length} rows for ${graph.nodes.length} nodes`;
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
  const saved = [...activationAccesses(graph).values()];
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
      unknown(`${place}.recomputeSources`, row.recomputeSources, graph.tensors, "tensor") ||
      unknown(`${place}.recomputeNodes`, row.recomputeNodes, nodes, "node")
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

/** The measured times of a profile lie where their samples do. */
function timesFit(place: string, { nodes, step, eagerStep }: Profile): string | undefined {
  const problem = (where: string, { samplesMs, medianMs, meanMs }: Profile["step"]): string | false => {
    if (samplesMs.length === 0) return false; // times of a table
    let [least, most] = [Number.POSITIVE_INFINITY, 0];
    for (const ms of samplesMs) {
      if (ms < least) least = ms;
      if (ms > most) most = ms;
    }
    const isOutside = (ms: number): boolean => ms < least * (1 - 1e-9) || ms > most * (1 + 1e-9);
    if (isOutside(medianMs)) return `${where}.medianMs is ${medianMs}, and its samples from ${least} to ${most}`;
    return isOutside(meanMs) && `${where}.meanMs is ${meanMs}, and its samples from ${least} to ${most}`;
  };
  return (
    firstOf(nodes, ({ time }, rank) => problem(`${place}.nodes[${rank}].time`, time)) ||
    problem(`${place}.step`, step) ||
    (eagerStep && problem(`${place}.eagerStep`, eagerStep)) ||
    undefined
  );
}

/** The timeline of the unplanned step is that of its graph. */
function timelineOfGraphFits({ timeline: memory }: Profile, graph: Graph): string | undefined {
  const made = timeline(graph);
  for (const category of categories) {
    const rank = memory.byCategory[category].findIndex((bytes, i) => bytes !== made.byCategory[category][i]);
    if (rank >= 0)
      return `before.timeline.byCategory.${category}[${rank}] is ${memory.byCategory[category][rank]}, and ${made.byCategory[category][rank]} follows from the graph`;
  }
  return differs("before.timeline.residentBytes", memory.residentBytes, made.residentBytes) || undefined;
}

/** Decisions on activations that there are, places that there are, sums that add up. */
function planFits(plan: Plan, before: Profile, graph: Graph): string | undefined {
  const rows = new Map(before.activations.map((row) => [row.name, row]));
  const nodes = new Set(namesOf(graph.nodes));
  const { decisions, budgetBytes, peakBytes, feasible, kept, timelinePeakBytes, obstacle, constraints } = plan;
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
      const [strange] = [decision.swap?.outDone, decision.swap?.prefetch].filter((name) => name && !nodes.has(name));
      return strange !== undefined && `${place}.swap names ${shown(strange)}, which is no node`;
    }) ||
    (kept + made !== rows.size && `plan.kept is ${kept}, with ${made} decisions on ${rows.size} activations`) ||
    (timelinePeakBytes > peakBytes && `plan.timelinePeakBytes is ${timelinePeakBytes}, more than ${peakBytes}`) ||
    (feasible && budgetBytes !== null && peakBytes > budgetBytes
      ? `plan.feasible is true, and its peak of ${peakBytes} is above its budget of ${budgetBytes}`
      : undefined) ||
    (obstacle && !nodes.has(obstacle.node) ? `plan.obstacle.node is ${shown(obstacle.node)}, which is no node` : undefined) ||
    unknown("plan.constraints.keep", constraints?.keep ?? [], rows, "saved activation")
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
  return equality?.bitwise && equality.different.length ? "equality.bitwise is true, and some differ" : undefined;
}

/** In this order: each may rely on those before it. */
const checks: readonly Check[] = [
  (run, graph) => tensorsFit(run.graph, graph),
  (_, graph) => scheduleFits(graph),
  (_, graph) => typesFit(graph),
  (_, graph) => originsFit(graph),
  ({ before }, graph) => nodeRowsFit(before.nodes, graph),
  ({ before }) => timelineFits("before", before),
  ({ before }, graph) => timelineOfGraphFits(before, graph),
  ({ before }, graph) => activationRowsFit(before.activations, graph),
  ({ before }) => timesFit("before", before),
  ({ plan, before }, graph) => plan && planFits(plan, before, graph) || undefined,
  (run) => outcomeFits(run),
  ({ after }) => (after && (timelineFits("after", after) ?? timesFit("after", after))) || undefined,
];

/** What does not fit in a run whose parts are what they should be, with its place in run.json; undefined if all does. */
export function contradictionIn(run: Run): string | undefined {
  const graph = loadGraph(run.graph);
  return firstOf(checks, (check) => check(run, graph));
}
