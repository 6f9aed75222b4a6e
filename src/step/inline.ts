import { type Graph, type Node, producers, tensorBytes, tensorOf } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { againName, parseName } from "../graph/names.js";
import { opOf } from "../ops/index.js";
import type { Group } from "./fused-node.js";
import { mostInputs } from "./groups.js";

/** Bytes that may be read in place of a tensor as if they were none, of its own: vectors of channels, values of rows. */
const negligible = 1 / 16;

/** Longest chain that is made again in place of a tensor that is read. */
const longest = 16;

/** A group with the copies that it got: the nodes at each of its ranks, the member itself at the end. */
interface Unit {
  readonly group: Group;
  readonly slots: Map<number, readonly Node[]>;
  /** Tensors that it makes, by which of its nodes. */
  readonly makes: Map<string, Node>;
  /** What it reads of others. */
  reads: ReadonlySet<string>;
}

/** Pointwise nodes of one unit that make a tensor, and what they read of others. */
interface Chain {
  readonly nodes: readonly Node[];
  readonly leaves: ReadonlySet<string>;
}

/** The name of what something is a copy of, if it is one. */
const firstName = (name: string): string => {
  const { original, again } = parseName(name);
  return again === undefined ? name : original;
};

const readsOf = ({ slots, makes }: Pick<Unit, "slots" | "makes">): Set<string> =>
  new Set([...slots.values()].flat().flatMap(({ inputs }) => inputs.filter((name) => name && !makes.has(name))));

/** Groups that make again what they would read of another one, where that reads no more. */
class Inliner {
  private readonly units = new Map<number, Unit>();
  /** Who makes each tensor that a unit makes. */
  private readonly maker = new Map<string, Unit>();
  /** Units that read a tensor of another; other nodes by their rank. */
  private readonly readers = new Map<string, Set<Unit | number>>();
  private readonly tensors: Map<string, ReturnType<typeof tensorOf>>;
  /** Tensors that must be there when the step ends, or lie in a flat buffer. */
  private readonly kept: ReadonlySet<string>;
  /** What is renewed during the step, so that it is not read later than it is. */
  private readonly renewed: ReadonlySet<string>;
  private copies = 0;

  constructor(
    private readonly graph: Graph,
    groupOf: ReadonlyMap<number, Group>,
  ) {
    this.tensors = new Map(graph.tensors);
    const parts = [...graph.tensors.values()].filter(({ within }) => within).map(({ name }) => name);
    this.kept = new Set([...graph.outputs, ...graph.state.flatMap(({ before, after }) => [before, after]), ...parts]);
    const made = producers(graph);
    this.renewed = new Set(
      [...this.kept].filter((name) => made.has(name) || tensorOf(graph, name).category === "buffer"),
    );
    const unitOf = new Map<Group, Unit>();
    for (const [rank, node] of graph.nodes.entries()) {
      const group = groupOf.get(rank);
      if (!group) continue;
      const unit = unitOf.get(group) ?? { group, slots: new Map(), makes: new Map(), reads: new Set() };
      unitOf.set(group, unit);
      this.units.set(rank, unit);
      unit.slots.set(rank, [node]);
      for (const name of node.outputs) {
        unit.makes.set(name, node);
        this.maker.set(name, unit);
      }
    }
    for (const unit of unitOf.values()) {
      unit.reads = readsOf(unit);
      for (const name of unit.reads) this.readBy(name, unit);
    }
    for (const [rank, { inputs }] of graph.nodes.entries())
      if (!this.units.has(rank)) for (const name of inputs) this.readBy(name, rank);
  }

  run(): { graph: Graph; groupOf: ReadonlyMap<number, Group> } {
    for (const unit of new Set(this.units.values())) for (const name of unit.reads) this.consider(name, unit);
    return this.copies ? this.written() : { graph: this.graph, groupOf: this.groups((rank) => rank) };
  }

  /** Lets a unit make a tensor of another one again, if that reads no more; all who read it, if it is gone then. */
  private consider(name: string, unit: Unit): void {
    // another unit may have had it made again here too
    const chain = unit.reads.has(name) ? this.chainOf(name, unit) : undefined;
    if (!chain) return;
    const bytes = tensorBytes(this.type(name));
    if (this.added(chain, name, unit) <= negligible * bytes) {
      this.inline(name, chain, unit);
      return;
    }
    const maker = this.maker.get(name) as Unit;
    const others = [...(this.readers.get(name) ?? [])];
    const isGone = (other: Unit | number): boolean =>
      typeof other !== "number" &&
      other.group.shape.join() === unit.group.shape.join() &&
      this.phaseOf(other) === this.phaseOf(maker) &&
      this.added(chain, name, other) <= (1 + negligible) * bytes;
    if (this.kept.has(name) || !others.every(isGone)) return;
    for (const other of others) this.inline(name, chain, other as Unit);
  }

  /** The pointwise nodes of its maker's that make a tensor, over the shape of the unit that reads it. */
  private chainOf(name: string, { group: { shape } }: Unit): Chain | undefined {
    const unit = this.maker.get(name);
    if (!unit) return undefined;
    const leaves = new Set<string>();
    const nodes = new Set<Node>();
    const visit = (tensor: string): boolean => {
      const node = unit.makes.get(tensor);
      if (!node) {
        if (tensor) leaves.add(tensor);
        return !this.renewed.has(tensor);
      }
      if (nodes.has(node)) return true;
      const isPart = opOf(node).fusible === "elements" && this.type(tensor).shape.join() === shape.join();
      return isPart && nodes.size < longest && node.inputs.every(visit) && Boolean(nodes.add(node));
    };
    return visit(name) ? { nodes: [...nodes], leaves } : undefined;
  }

  /** Bytes that a unit reads in place of a tensor, if it makes the tensor itself; ∞ if it cannot. */
  private added({ leaves }: Chain, name: string, unit: Unit): number {
    if (unit === this.maker.get(name) || this.phaseOf(unit) === "update") return Number.POSITIVE_INFINITY;
    const { reads } = unit;
    const more = [...leaves].filter((leaf) => !reads.has(leaf));
    if (reads.size - 1 + more.length > mostInputs) return Number.POSITIVE_INFINITY;
    return more.reduce((sum, leaf) => sum + tensorBytes(this.type(leaf)), 0);
  }

  /** Puts copies of a chain before a unit's first reader of the tensor. */
  private inline(name: string, { nodes, leaves }: Chain, unit: Unit): void {
    const names = new Map<string, string>();
    const phase = this.phaseOf(unit);
    const copies = nodes.map((node): Node => {
      const [output = ""] = node.outputs;
      const copy = this.again(output);
      this.tensors.set(copy, { ...this.type(output), name: copy, category: "temporary" });
      const inputs = node.inputs.map((input) => names.get(input) ?? input);
      names.set(output, copy);
      const own = { ...node, name: againName(firstName(node.name), this.copies), inputs, outputs: [copy], phase };
      unit.makes.set(copy, own);
      this.maker.set(copy, unit);
      return own;
    });
    // what the copies are put before reads them instead
    const renamed = (node: Node): Node => ({ ...node, inputs: node.inputs.map((input) => names.get(input) ?? input) });
    let isPlaced = false;
    for (const [rank, slot] of unit.slots) {
      const at: number = isPlaced ? -1 : slot.findIndex(({ inputs }) => inputs.includes(name));
      const changed = slot.map(renamed);
      for (const node of changed) for (const made of node.outputs) unit.makes.set(made, node);
      if (at >= 0) changed.splice(at, 0, ...copies);
      isPlaced ||= at >= 0;
      unit.slots.set(rank, changed);
    }
    unit.reads = readsOf(unit);
    this.readers.get(name)?.delete(unit);
    for (const leaf of leaves) this.readBy(leaf, unit);
  }

  private readBy(name: string, reader: Unit | number): void {
    this.readers.set(name, (this.readers.get(name) ?? new Set()).add(reader));
  }

  /** The graph with the copies, and without what nobody reads any more. */
  private written(): { graph: Graph; groupOf: ReadonlyMap<number, Group> } {
    const all = this.graph.nodes.flatMap((node, rank) =>
      (this.units.get(rank)?.slots.get(rank) ?? [node]).map((one) => ({ node: one, rank })),
    );
    const wanted = new Set(this.kept);
    const live = all.reverse().filter(({ node, rank }) => {
      if (this.units.has(rank) && !node.outputs.some((name) => wanted.has(name))) return false;
      for (const name of node.inputs) wanted.add(name);
      return true;
    });
    live.reverse();
    const nodes = live.map(({ node }) => node);
    return {
      graph: { ...this.graph, nodes, tensors: this.tensors },
      groupOf: this.groups((at) => (live[at] as { rank: number }).rank, nodes.length),
    };
  }

  /** Groups by the ranks of their nodes, given where each node comes from. */
  private groups(from: (at: number) => number, count = this.graph.nodes.length): ReadonlyMap<number, Group> {
    const members = new Map<Unit, number[]>();
    for (let at = 0; at < count; at++) {
      const unit = this.units.get(from(at));
      if (unit) addTo(members, unit, at);
    }
    return new Map(
      [...members].flatMap(([{ group }, ranks]) => {
        const own: Group = { ...group, members: ranks };
        return ranks.map((rank) => [rank, own] as const);
      }),
    );
  }

  private again(name: string): string {
    for (;;) {
      const copy = againName(firstName(name), ++this.copies);
      if (!this.tensors.has(copy)) return copy;
    }
  }

  private phaseOf(unit: Unit): Node["phase"] {
    return (this.graph.nodes[unit.group.members[0] as number] as Node).phase;
  }

  private type(name: string) {
    return this.tensors.get(name) as ReturnType<typeof tensorOf>;
  }
}

/**
 * The graph and its groups with chains of pointwise nodes made again in groups that would read their result, where that
 * reads no more than a few bytes beyond what they read anyway: a mask from the input of a norm rather than from the output
 * of the activation behind it. Where nobody is left who reads the result, so that it need not be written, one tensor may be
 * read in its place: the gradient in front of an activation by both passes of a norm's gradient.
 */
export const inline = (
  graph: Graph,
  groupOf: ReadonlyMap<number, Group>,
): { graph: Graph; groupOf: ReadonlyMap<number, Group> } => new Inliner(graph, groupOf).run();
