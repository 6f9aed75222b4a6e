import type { Graph } from "../graph/graph.js";
import { storages } from "../memory/storages.js";
import type { Compiled, CompiledNode } from "./compiled.js";

/** What a node of the forward phase makes, with its life in the unplanned step; views are seen through. */
export interface ForwardValue {
  /** Number of the tensor, and of the saved activation that it is; -1 for none. */
  readonly tensor: number;
  readonly activation: number;
  readonly bytes: number;
  readonly created: number;
  /** Ranks of the forward nodes that read it, in order. */
  readonly readers: readonly number[];
  /** In every plan in which it exists, it lives at least until this rank; -1 if it may not exist in the forward phase. */
  readonly sure: number;
}

/**
 * What no plan changes about who lives when, whatever is recomputed or swapped: each value is live from the node that
 * makes it to its last reader, in a storage of its own but for the rank at which it is written over an input.
 */
export class Lifetimes {
  readonly values: readonly ForwardValue[];
  /**
   * By rank: whether a plan may run the node in blocks only. That is so where all that reads its outputs reads copies of
   * them in some plan: activations that may be recomputed, other such nodes.
   */
  readonly dispensable: readonly boolean[];
  private readonly origin: Int32Array;
  private readonly lastRead: Int32Array;
  /** 1 for tensors that are written over something in the unplanned step. */
  private readonly shares: Uint8Array;

  /** `mayRecompute` and `maySwap` by saved activation. */
  constructor(
    private readonly graph: Compiled,
    step: Graph,
    private readonly mayRecompute: readonly boolean[],
    private readonly maySwap: readonly boolean[],
  ) {
    const { nodes, bytes } = graph;
    this.origin = Int32Array.from(bytes, (_, name) => name);
    this.lastRead = new Int32Array(bytes.length).fill(-1);
    const readers: number[][] = Array.from(bytes, () => []);
    nodes.forEach((node, rank) => {
      for (const name of node.inputs) {
        if (name < 0) continue;
        const root = this.origin[name] as number;
        this.lastRead[root] = rank;
        if (node.forward && readers[root]?.at(-1) !== rank) readers[root]?.push(rank);
      }
      if (node.view) this.origin[node.outputs[0] as number] = this.origin[node.inputs[0] as number] as number;
    });
    for (const name of graph.outputs) this.lastRead[this.origin[name] as number] = nodes.length - 1;
    this.dispensable = this.findDispensable();
    const places = storages(step).of;
    this.shares = Uint8Array.from([...step.tensors.keys()], (name) =>
      places.get(name)?.storage.name === name ? 0 : 1,
    );
    this.values = this.findValues(readers);
  }

  private findDispensable(): boolean[] {
    const { graph } = this;
    const { nodes, owner } = graph;
    const needed = new Uint8Array(graph.bytes.length);
    for (const name of graph.wanted) for (const bound of graph.bound[name] as Int32Array) needed[bound] = 1;
    const dispensable = new Array<boolean>(nodes.length).fill(false);
    for (let rank = nodes.length - 1; rank >= 0; rank--) {
      const node = nodes[rank] as CompiledNode;
      const isNeeded = (name: number): boolean =>
        name >= 0 && (needed[name] === 1 || (graph.part[name] as number) >= 0);
      dispensable[rank] = node.forward && !node.outputs.some(isNeeded);
      if (dispensable[rank]) continue;
      for (const name of node.inputs) {
        if (name < 0) continue;
        const own = owner[name] as number;
        if (!node.forward && own >= 0 && this.mayRecompute[own]) continue;
        for (const bound of graph.bound[name] as Int32Array) needed[bound] = 1;
      }
    }
    return dispensable;
  }

  private findValues(readers: readonly number[][]): ForwardValue[] {
    const { graph, dispensable } = this;
    const activationOf = new Map([...graph.activationTensors].map((tensor, activation) => [tensor, activation]));
    return graph.nodes.flatMap((node, created) =>
      node.forward && !node.view
        ? [...node.outputs].flatMap((tensor): ForwardValue[] => {
            if (tensor < 0 || graph.host[tensor] || graph.after[tensor]) return [];
            const read = readers[tensor] as number[];
            const sure = read.findLast((rank) => !dispensable[rank]) ?? (dispensable[created] ? -1 : created);
            const bytes = graph.bytes[tensor] as number;
            return [{ tensor, activation: activationOf.get(tensor) ?? -1, bytes, created, readers: read, sure }];
          })
        : [],
    );
  }

  /** The rank of the last node that reads a value. */
  lastReadOf({ tensor, created }: ForwardValue): number {
    return Math.max(created, this.lastRead[tensor] as number);
  }

  /** Whether a node that writes over nothing in the unplanned step could write over a value if it read it last. */
  mayOverwrite(rank: number, { tensor }: ForwardValue): boolean {
    return this.newPlaces(rank, (root) => root === tensor && (this.graph.part[root] as number) < 0) > 0;
  }

  /** Bytes of a node's outputs that another order of decisions could put over what the node reads last. */
  looseBytes(rank: number): number {
    const { graph } = this;
    const made = (root: number): boolean => (graph.made[root] as number) >= 0 && !graph.after[root];
    const canLeave = (root: number): boolean => (graph.part[root] as number) < 0 || this.isSwappable(root);
    return this.newPlaces(rank, (root) => this.lastRead[root] === rank && made(root) && canLeave(root));
  }

  private isSwappable(root: number): boolean {
    const own = this.graph.owner[root] as number;
    return own >= 0 && this.maySwap[own] === true;
  }

  /** Bytes of the outputs that are written over nothing in the unplanned step, and could be over an input of that kind. */
  private newPlaces(rank: number, suits: (root: number) => boolean): number {
    const { graph, origin } = this;
    const node = graph.nodes[rank] as CompiledNode;
    if (node.view) return 0;
    let sum = 0;
    node.outputs.forEach((name, output) => {
      if (name < 0 || this.shares[name] || graph.host[name] || graph.after[name]) return;
      if ((graph.part[name] as number) >= 0 || !node.inPlace[graph.dtype[name] as number]) return;
      const slots = node.slots[output] as readonly number[];
      const fits = slots.some((slot) => {
        const input = node.inputs[slot] ?? -1;
        if (input < 0) return false;
        const root = origin[input] as number;
        const isAlike = [root, input].every((one) => graph.bytes[one] === graph.bytes[name]);
        return (
          isAlike && graph.dtype[input] === graph.dtype[name] && suits(root) && !this.readsOtherwise(node, slot, slots)
        );
      });
      if (fits) sum += graph.bytes[name] as number;
    });
    return sum;
  }

  /** Whether a node reads the value in a slot through another input than those that may be written over. */
  private readsOtherwise({ inputs }: CompiledNode, slot: number, slots: readonly number[]): boolean {
    const input = inputs[slot] as number;
    return inputs.some((name, other) => {
      if (other === slot || name < 0 || this.origin[name] !== this.origin[input]) return false;
      return name !== input || !slots.includes(inputs.lastIndexOf(name));
    });
  }
}
