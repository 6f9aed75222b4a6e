import type { Graph, Node } from "../graph/graph.js";
import { knownName } from "../graph/names.js";
import { activationOf } from "../memory/activations.js";
import { opOf } from "../ops/index.js";

/** One copy of a node in a planned step, as far as it is there for one activation. */
export interface RecomputedCopy {
  /** Its name. */
  readonly node: string;
  /** Whether it makes the activation itself, or something on the way to it. */
  readonly isMade: boolean;
  /** Its time, or that part of it that is this activation's, ms. */
  readonly ms: number;
  /** Activations from which its block makes it. */
  readonly sources: readonly string[];
  /** Nodes of the unplanned step that its block runs again up to it. */
  readonly block: readonly string[];
}

/**
 * The copies of nodes in a planned step by activation, those that make it first. A copy belongs to the evicted
 * activations that it makes, in equal parts; one that makes none to whatever it is made for; so their times add up to
 * what all copies take. `msOf` gives the time of a node of the unplanned step by its rank.
 */
export function copiesOf(
  graph: Graph,
  planned: Graph,
  evicted: ReadonlySet<string>,
  msOf: (rank: number) => number,
): ReadonlyMap<string, readonly RecomputedCopy[]> {
  const own = new Map(graph.nodes.map(({ name }, rank) => [name, rank]));
  const owners = activationOf(graph);
  const ownerOf = (tensor: string): string | undefined => owners.get(knownName(tensor, graph.tensors));
  const isCopy = ({ name }: Node): boolean => !own.has(name) && own.has(knownName(name, own));
  const copies = planned.nodes.filter((node) => isCopy(node) && !opOf(node).swap);
  const made = new Map(copies.flatMap((node) => node.outputs.filter(Boolean).map((name) => [name, node] as const)));
  const belongs = new Map<Node, ReadonlySet<string>>();
  const wantedBy = new Map<string, ReadonlySet<string>>();
  for (const node of [...copies].reverse()) {
    const direct = node.outputs
      .flatMap((name) => (name ? (ownerOf(name) ?? []) : []))
      .filter((name) => evicted.has(name));
    const later = node.outputs.map((name) => wantedBy.get(name)).find((names) => names?.size);
    const names = direct.length ? new Set(direct) : (later ?? new Set<string>());
    belongs.set(node, names);
    for (const input of node.inputs) if (!wantedBy.has(input)) wantedBy.set(input, names);
  }
  const blockOf = blocks(planned, own);
  const rankOf = new Map(copies.map((node, rank) => [node, rank]));
  const found = new Map<string, RecomputedCopy[]>();
  for (const node of copies) {
    const names = belongs.get(node) as ReadonlySet<string>;
    const ms = msOf(own.get(knownName(node.name, own)) as number) / names.size;
    for (const name of names) {
      const isMade = node.outputs.some((output) => knownName(output, graph.tensors) === name);
      const list = found.get(name) ?? [];
      const first = isMade && !list.some((copy) => copy.isMade);
      const way = first ? wayTo(node, made, blockOf, rankOf) : [];
      const inside = new Set(way.flatMap(({ outputs }) => outputs));
      const from = way.flatMap(({ inputs }) => inputs.filter((input) => !inside.has(input)).map(ownerOf));
      const copy: RecomputedCopy = {
        node: node.name,
        isMade,
        ms,
        sources: [...new Set(from)].filter((one): one is string => one !== undefined && one !== name),
        block: way.map((one) => knownName(one.name, own)),
      };
      // what makes it stands first: its block and sources are the activation's
      if (first) list.unshift(copy);
      else list.push(copy);
      found.set(name, list);
    }
  }
  return found;
}

/** By copy: the node of the unplanned step before which its block stands. */
function blocks({ nodes }: Graph, own: ReadonlyMap<string, number>): ReadonlyMap<Node, number> {
  let next = own.size;
  const found = new Map<Node, number>();
  for (const node of [...nodes].reverse()) {
    next = own.get(node.name) ?? next;
    found.set(node, next);
  }
  return found;
}

/** The copies of one block that lead to one of them, itself last. */
function wayTo(
  target: Node,
  made: ReadonlyMap<string, Node>,
  blockOf: ReadonlyMap<Node, number>,
  rankOf: ReadonlyMap<Node, number>,
): Node[] {
  const found = new Set<Node>([target]);
  for (const node of found)
    for (const input of node.inputs) {
      const before = made.get(input);
      if (before && blockOf.get(before) === blockOf.get(target)) found.add(before);
    }
  return [...found].sort((a, z) => (rankOf.get(a) as number) - (rankOf.get(z) as number));
}
