import type { Compiled, CompiledNode } from "./compiled.js";

/** What is done with an activation, as a number in a vector of actions: it is kept, */
export const keep = 0;
/** made again right before its first backward use, by a block of its own, from what is there, */
export const alone = 1;
/** made again by the first block that needs it, and there from then on to its last use. */
export const held = 2;
/** Or it is copied to host memory and back, as placed by `placeCopies`. */
export const swapped = 3;

const isAgain = (action: number | undefined): boolean => action === alone || action === held;

/**
 * The schedule of a rewritten graph in numbers, written for one vector of actions after the other: what
 * `insertRecomputation` and `prune` make, where a copy of a tensor is an instance beyond the tensors' numbers.
 */
export class Schedule {
  /** For each entry the node that it is (a copy of), whether it is one, and the node before which its block stands. */
  base = new Int32Array(1024);
  isCopy = new Uint8Array(1024);
  place = new Int32Array(1024);
  /** Where the names of an entry begin in `names`: its inputs, then its outputs; -1 for those that are absent. */
  start = new Int32Array(1025);
  /** Where the outputs of an entry begin there. */
  middle = new Int32Array(1024);
  names = new Int32Array(8192);
  /** The entries that something depends on, in order, and their number. */
  kept = new Int32Array(1024);
  keptCount = 0;
  /** Number of tensors and of copies of tensors. */
  instances = 0;
  readonly tensorCount: number;
  private count = 0;
  private nameCount = 0;
  /** The tensor that each instance is a copy of. */
  private instance = new Int32Array(4096);
  // by tensor: what later nodes read instead, what later blocks start from, the copy in the block at hand
  private readonly current: Int32Array;
  private readonly standing: Int32Array;
  private readonly local: Int32Array;
  /** By node: the last block that it is in. */
  private readonly found: Int32Array;
  private stamp = 0;
  private wanted = new Uint8Array(0);

  constructor(
    private readonly graph: Compiled,
    private readonly mostNodes = Number.POSITIVE_INFINITY,
  ) {
    this.tensorCount = graph.bytes.length;
    this.current = new Int32Array(this.tensorCount);
    this.standing = new Int32Array(this.tensorCount);
    this.local = new Int32Array(this.tensorCount);
    this.found = new Int32Array(graph.nodes.length);
  }

  /**
   * Writes the schedule for an action for each saved activation; swaps change nothing in it. False where it has more
   * nodes than it may have: what is written then is a part.
   */
  write(actions: Uint8Array): boolean {
    if (!this.emit(actions)) return false;
    this.prune();
    return true;
  }

  /** The tensor that an instance is (a copy of). */
  tensorOf(instance: number): number {
    return instance < this.tensorCount ? instance : (this.instance[instance] as number);
  }

  /** Rank in `kept` of the first entry that is a node of the unplanned step from `node` on, or in a block before one. */
  rankOf(node: number): number {
    let [low, high] = [0, this.keptCount];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.place[this.kept[middle] as number] as number) < node) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private emit(actions: Uint8Array): boolean {
    const { nodes, flat } = this.graph;
    this.count = 0;
    this.nameCount = 0;
    this.instances = this.tensorCount;
    this.current.fill(-1);
    this.standing.fill(-1);
    const { current } = this;
    for (let rank = 0; rank < nodes.length; rank++) {
      const { targets } = nodes[rank] as CompiledNode;
      for (let i = 0; i < targets.length; i++) {
        const target = targets[i] as number;
        if (isAgain(actions[target])) this.emitBlock(target, actions, rank);
      }
      const [from, middle, end] = [
        flat.start[rank] as number,
        flat.middle[rank] as number,
        flat.start[rank + 1] as number,
      ];
      this.makeRoomFor(end - from);
      this.open(rank, false, rank, middle - from);
      const { names } = this;
      let count = this.nameCount;
      for (let at = from; at < middle; at++) {
        const name = flat.names[at] as number;
        const copy = name < 0 ? -1 : (current[name] as number);
        names[count++] = copy >= 0 ? copy : name;
      }
      for (let at = middle; at < end; at++) names[count++] = flat.names[at] as number;
      this.nameCount = count;
      if (this.count > this.mostNodes) return false;
    }
    this.start[this.count] = this.nameCount;
    return true;
  }

  private emitBlock(target: number, actions: Uint8Array, place: number): void {
    const { nodes, made, owner, after } = this.graph;
    const { current, standing, local, found } = this;
    const stamp = ++this.stamp;
    const ranks: number[] = [];
    const stack = [...(this.graph.backwardMembers[target] as Int32Array)];
    while (stack.length) {
      const name = stack.pop() as number;
      const rank = made[name] as number;
      if (rank < 0 || found[rank] === stamp || (standing[name] as number) >= 0) continue;
      const own = owner[name] as number;
      if (own >= 0 && own !== target && !isAgain(actions[own])) continue;
      found[rank] = stamp;
      ranks.push(rank);
      for (const input of (nodes[rank] as CompiledNode).copyInputs) if (input >= 0) stack.push(input);
    }
    ranks.sort((a, z) => a - z);
    // `local` holds instances of this block alone: all are cleared when it ends
    for (const rank of ranks) {
      const node = nodes[rank] as CompiledNode;
      this.open(rank, true, place, node.copyInputs.length);
      for (const name of node.copyInputs) {
        const there = name < 0 ? -1 : (standing[name] as number);
        const inside = name < 0 ? 0 : (local[name] as number);
        this.pushName(there >= 0 ? there : inside > 0 ? inside : name);
      }
      for (const name of node.copyOutputs) {
        if (name < 0 || after[name]) {
          this.pushName(-1);
          continue;
        }
        const copy = this.newInstance(name);
        local[name] = copy;
        const own = owner[name] as number;
        if (own >= 0 && actions[own] === held && (standing[name] as number) < 0) standing[name] = copy;
        this.pushName(copy);
      }
    }
    for (const member of this.graph.backwardMembers[target] as Int32Array) {
      const there = standing[member] as number;
      current[member] = there >= 0 ? there : (local[member] as number);
    }
    for (const rank of ranks)
      for (const name of (nodes[rank] as CompiledNode).copyOutputs) if (name >= 0) local[name] = 0;
  }

  private open(base: number, isCopy: boolean, place: number, inputs: number): void {
    if (this.count + 1 >= this.base.length) {
      this.base = wider(this.base);
      this.place = wider(this.place);
      this.start = wider(this.start);
      this.middle = wider(this.middle);
      const flags = new Uint8Array(this.base.length);
      flags.set(this.isCopy);
      this.isCopy = flags;
    }
    this.base[this.count] = base;
    this.isCopy[this.count] = isCopy ? 1 : 0;
    this.place[this.count] = place;
    this.middle[this.count] = this.nameCount + inputs;
    this.start[this.count++] = this.nameCount;
  }

  private makeRoomFor(more: number): void {
    while (this.nameCount + more > this.names.length) this.names = wider(this.names);
  }

  private pushName(name: number): void {
    this.makeRoomFor(1);
    this.names[this.nameCount++] = name;
  }

  private newInstance(tensor: number): number {
    const index = this.instances++;
    if (index >= this.instance.length) {
      const more = new Int32Array(2 * index);
      more.set(this.instance);
      this.instance = more;
    }
    this.instance[index] = tensor;
    return index;
  }

  private wantBound(name: number): void {
    const bound = this.graph.bound[name] as Int32Array;
    for (let i = 0; i < bound.length; i++) this.wanted[bound[i] as number] = 1;
  }

  /** Leaves out what nothing depends on. */
  private prune(): void {
    const { start, middle, names, tensorCount } = this;
    const { single } = this.graph;
    if (this.wanted.length < this.instances) this.wanted = new Uint8Array(2 * this.instances);
    const { wanted } = this;
    wanted.fill(0, 0, this.instances);
    for (const name of this.graph.wanted) this.wantBound(name);
    if (this.kept.length < this.count) this.kept = new Int32Array(2 * this.count);
    const { kept } = this;
    // from behind to the end of the list, then to its beginning
    let first = kept.length;
    for (let i = this.count - 1; i >= 0; i--) {
      const end = start[i + 1] as number;
      let used = false;
      for (let at = middle[i] as number; at < end && !used; at++) {
        const name = names[at] as number;
        used = name >= 0 && wanted[name] === 1;
      }
      if (!used) continue;
      kept[--first] = i;
      for (let at = start[i] as number; at < (middle[i] as number); at++) {
        const name = names[at] as number;
        if (name < 0 || wanted[name]) continue;
        if (name >= tensorCount || single[name]) wanted[name] = 1;
        else this.wantBound(name);
      }
    }
    this.keptCount = kept.length - first;
    kept.copyWithin(0, first);
  }
}

const wider = (list: Int32Array): Int32Array<ArrayBuffer> => {
  const more = new Int32Array(2 * list.length);
  more.set(list);
  return more;
};
