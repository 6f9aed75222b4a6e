import { type Graph, isForward, type Node } from "../../graph/graph.js";
import { placeOf } from "../../graph/lanes.js";
import { addTo } from "../../graph/lists.js";
import { opOf } from "../../ops/index.js";

/**
 * How members of a joint graph follow one another from step to step: the backward phase (and update) of each beside the
 * forward phase of the next, that of the last beside the forward phase of the first in the step after. Of two members
 * these are μ-TWO's schedules [BW1, FW2] and [BW2, FW1]; pairs of a larger ring are neighbours.
 */
export interface Ring {
  /** Names that the members' nodes and tensors begin with, before a slash. */
  readonly members: readonly string[];
  /** Names of the unplanned graph's nodes. */
  readonly own: ReadonlySet<string>;
  /** By forward node the backward node of the member before it that it stands before; those that are missing stand last. */
  readonly before: ReadonlyMap<string, string>;
  /**
   * Into how many stages each half is cut, in which both members run side by side, each in a lane of its own; 0 if nodes
   * run one after the other in the order of the list.
   */
  readonly stages: number;
}

/** The nodes of a member: those of its forward phase, and the rest. */
export interface Sections {
  readonly forward: readonly Node[];
  readonly rest: readonly Node[];
}

/** The member that a node belongs to; undefined for what belongs to none, such as the sum of all losses. */
export const memberOf = ({ name }: Pick<Node, "name">): string => name.slice(0, Math.max(0, name.indexOf("/")));

/**
 * The sections of each member's nodes, planned or not, and the nodes that belong to none. The forward section ends where
 * the first node of another phase stands that no plan has put there; what comes back from the host before that belongs to
 * the rest.
 */
export function sectionsOf(
  nodes: readonly Node[],
  { members, own }: Pick<Ring, "members" | "own">,
): { readonly sections: readonly Sections[]; readonly others: readonly Node[] } {
  const known = new Set(members);
  const all = new Map<string, Node[]>();
  const others: Node[] = [];
  for (const node of nodes) {
    const member = memberOf(node);
    if (known.has(member)) addTo(all, member, node);
    else others.push(node);
  }
  const sections = members.map((member): Sections => {
    const list = all.get(member) ?? [];
    const end = list.findIndex(({ name, phase }) => !isForward(phase) && own.has(name));
    const forward = list.slice(0, end < 0 ? list.length : end);
    const isAhead = ({ phase }: Node): boolean => isForward(phase);
    return {
      forward: forward.filter(isAhead),
      rest: [...forward.filter((node) => !isAhead(node)), ...list.slice(forward.length)],
    };
  });
  return { sections, others };
}

/**
 * A ring in which each forward phase begins when a share `lag` of the time of the backward phase beside it has passed, and
 * both then end together: 0 all along it, 1 after it, for the least memory. `nodeMs` holds the time of each node.
 */
export function ringOf(
  graph: Graph,
  nodeMs: readonly number[],
  members: readonly string[],
  { lag, stages }: { readonly lag: number; readonly stages: number },
): Ring {
  const own = new Set(graph.nodes.map(({ name }) => name));
  const ms = new Map(graph.nodes.map(({ name }, rank) => [name, nodeMs[rank] as number]));
  const { sections } = sectionsOf(graph.nodes, { members, own });
  const before = new Map<string, string>();
  sections.forEach(({ rest }, i) => {
    const { forward } = sections[(i + 1) % sections.length] as Sections;
    const length = (nodes: readonly Node[]): number => nodes.reduce((sum, { name }) => sum + (ms.get(name) ?? 0), 0);
    const [restMs, forwardMs] = [length(rest), length(forward)];
    let [at, passed, done] = [0, 0, 0];
    for (const { name } of forward) {
      const begin = (lag + ((1 - lag) * done) / forwardMs) * restMs;
      while (at < rest.length && passed + (ms.get((rest[at] as Node).name) ?? 0) <= begin)
        passed += ms.get((rest[at++] as Node).name) ?? 0;
      const beside = rest[at];
      if (beside && lag < 1) before.set(name, beside.name);
      done += ms.get(name) ?? 0;
    }
  });
  return { members, own, before, stages };
}

/** Nodes that stay together: one that was there, with what a plan has put before or after it. */
interface Unit {
  /** Copies back that begin before anything else. */
  readonly lead: Node[];
  readonly nodes: Node[];
  own?: string;
}

/** What a plan has put before a node goes with it; a copy to the host with the node after which it begins. */
function unitsOf(nodes: readonly Node[], own: ReadonlySet<string>): Unit[] {
  const units: Unit[] = [];
  let unit: Unit = { lead: [], nodes: [] };
  for (const node of nodes) {
    const { swap } = opOf(node);
    const last = units.at(-1);
    if (swap === "out" && last && !unit.nodes.length) last.nodes.push(node);
    else if (swap === "in" && !unit.nodes.length) unit.lead.push(node);
    else unit.nodes.push(node);
    if (!own.has(node.name)) continue;
    unit.own = node.name;
    units.push(unit);
    unit = { lead: [], nodes: [] };
  }
  return unit.lead.length || unit.nodes.length ? [...units, unit] : units;
}

/** One half: a backward section with the forward section beside it, in the ring's order. */
export function merge(rest: readonly Node[], forward: readonly Node[], { own, before }: Ring): Node[] {
  const backward = unitsOf(rest, own);
  const rank = new Map(backward.map((unit, index) => [unit.own ?? "", index]));
  const ahead = unitsOf(forward, own);
  const merged: Node[] = [];
  let next = 0;
  backward.forEach(({ lead, nodes }, index) => {
    merged.push(...lead);
    for (let unit = ahead[next]; unit; unit = ahead[++next]) {
      if (unit.own && (rank.get(before.get(unit.own) ?? "") ?? backward.length) > index) break;
      if (!unit.own) break;
      merged.push(...unit.lead, ...unit.nodes);
    }
    merged.push(...nodes);
  });
  return [...merged, ...ahead.slice(next).flatMap(({ lead, nodes }) => [...lead, ...nodes])];
}

/**
 * The halves as one list, each cut into stages of as many nodes, its members in lanes of their own; all in lane 0 if the
 * ring has no stages.
 */
export function inStages(halves: readonly (readonly Node[])[], { members, stages }: Ring): Node[] {
  const lanes = new Map(members.map((member, i) => [member, laneOf(i, members.length)]));
  return halves.flatMap((nodes, half) =>
    nodes.map((node, index): Node => {
      const { lane: _, stage: __, ...rest } = node;
      const place = {
        lane: stages ? (lanes.get(memberOf(node)) ?? laneOf(half, members.length)) : 0,
        stage: stages ? half * stages + Math.floor((index * stages) / nodes.length) : 0,
      };
      const { lane, stage } = placeOf(place);
      return { ...rest, ...(lane ? { lane } : {}), ...(stage ? { stage } : {}) };
    }),
  );
}

/** Two lanes serve all members, but a third the last of an odd number, which runs beside the first. */
const laneOf = (member: number, count: number): number =>
  count % 2 === 1 && member === count - 1 && count > 1 ? 2 : member % 2;
