import { dtypes, type Graph, producers, tensorBytes, tensorOf } from "../graph/graph.js";
import { activationOf, copyInputs, copyOutputs, savedActivations } from "../memory/activations.js";
import { timeline } from "../memory/liveness.js";
import { inPlaceSlots, opOf } from "../ops/index.js";
import { placeCopies, type Timed } from "./swap-placement.js";

/** What is done with an activation, as a number in a vector of actions: it is kept, */
export const keep = 0;
/** made again right before its first backward use, by a block of its own, from what is there, */
export const alone = 1;
/** made again by the first block that needs it, and there from then on to its last use. */
export const held = 2;
/** Or it is copied to host memory and back, as placed by `placeCopies`. */
export const swapped = 3;

/** What a vector of actions comes to. */
export interface Evaluation {
  /** Greatest number of live bytes, residents included: that of the exact timeline of the rewritten graph. */
  readonly peakBytes: number;
  /** Time of all nodes and of what they wait for copies, ms. */
  readonly totalMs: number;
  /** For each node of the unplanned step, the most bytes that live while it or a block before it runs. */
  readonly liveBytes: Float64Array;
}

/** Numbers of one graph: of tensors, of nodes, of saved activations. */
interface Compiled {
  readonly nodes: readonly CompiledNode[];
  readonly bytes: Float64Array;
  readonly dtype: Uint8Array;
  readonly host: Uint8Array;
  /** Rank of the node that makes each tensor; -1 for residents. */
  readonly made: Int32Array;
  /** Place of a part that a node makes, among all places in flat buffers; -1 for other tensors. */
  readonly part: Int32Array;
  /** For each tensor that is a flat buffer, the places in it; undefined for others. */
  readonly places: readonly (readonly number[] | undefined)[];
  /** The tensors that become wanted with a tensor, itself among them: parts of a flat buffer, the buffer of a part. */
  readonly bound: readonly Int32Array[];
  /** The saved activation each tensor belongs to; -1 for none. */
  readonly owner: Int32Array;
  readonly wanted: Int32Array;
  /** The tensors that must hold their value when the step ends. */
  readonly outputs: Int32Array;
  /** The next values of states. */
  readonly afters: Int32Array;
  /** 1 for the next values of states. */
  readonly after: Uint8Array;
}

interface CompiledNode {
  readonly inputs: Int32Array;
  readonly outputs: Int32Array;
  readonly copyInputs: Int32Array;
  readonly copyOutputs: Int32Array;
  readonly view: boolean;
  readonly forward: boolean;
  readonly ms: number;
  /** For each output, the inputs that it may be written over. */
  readonly slots: readonly (readonly number[])[];
  /** By element type: whether the kernel can write in place. */
  readonly inPlace: readonly boolean[];
  /** Saved activations whose blocks stand before this node, in the order in which they were made. */
  targets: number[];
}

function compile(graph: Graph, nodeMs: readonly number[], activations: readonly string[]): Compiled {
  const names = [...graph.tensors.keys()];
  const number = new Map(names.map((name, i) => [name, i]));
  const numbers = (list: readonly string[]): Int32Array =>
    Int32Array.from(list, (name) => (name ? (number.get(name) as number) : -1));
  const tensors = names.map((name) => tensorOf(graph, name));
  const producer = producers(graph);
  const indexOf = new Map(activations.map((name, i) => [name, i]));
  const owners = activationOf(graph);
  const saved = savedActivations(graph);
  const nodes = graph.nodes.map((node, rank): CompiledNode => {
    const op = opOf(node);
    return {
      inputs: numbers(node.inputs),
      outputs: numbers(node.outputs),
      copyInputs: numbers(copyInputs(node)),
      copyOutputs: numbers(copyOutputs(node)),
      view: op.view && Boolean(node.inputs[0]),
      forward: node.phase === "forward" || node.phase === "loss",
      ms: nodeMs[rank] as number,
      slots: node.outputs.map((_, i) => inPlaceSlots(node, i)),
      inPlace: dtypes.map((dtype) => op.inPlaceTypes?.includes(dtype) !== false),
      targets: [],
    };
  });
  activations.forEach((name, i) => {
    const rank = saved.get(name)?.firstBackwardAccess as number;
    (nodes[rank] as CompiledNode).targets.push(i);
  });
  // places in flat buffers: one for each part's offset, whichever of the tensors that lie there one after the other
  const placeOf = new Map<string, number>();
  const part = Int32Array.from(tensors, ({ name, within }) => {
    if (!within || !producer.has(name)) return -1;
    const key = `${within.offsetBytes} ${within.tensor}`;
    if (!placeOf.has(key)) placeOf.set(key, placeOf.size);
    return placeOf.get(key) as number;
  });
  const places = names.map((name) => {
    const own = tensors.flatMap(({ within }, i) =>
      within?.tensor === name && (part[i] as number) >= 0 ? [part[i] as number] : [],
    );
    return own.length ? [...new Set(own)] : undefined;
  });
  const after = new Set(graph.state.map((pair) => pair.after));
  return {
    nodes,
    bytes: Float64Array.from(tensors, tensorBytes),
    dtype: Uint8Array.from(tensors, ({ dtype }) => dtypes.indexOf(dtype)),
    host: Uint8Array.from(tensors, ({ host }) => (host ? 1 : 0)),
    made: Int32Array.from(names, (name) => producer.get(name) ?? -1),
    part,
    places,
    bound: boundTensors(graph, number),
    owner: Int32Array.from(names, (name) => indexOf.get(owners.get(name) ?? "") ?? -1),
    wanted: numbers([...graph.outputs, ...graph.state.flatMap((pair) => [pair.before, pair.after])]),
    outputs: numbers(graph.outputs),
    afters: numbers([...after]),
    after: Uint8Array.from(names, (name) => (after.has(name) ? 1 : 0)),
  };
}

/** For each tensor what becomes wanted with it: graph/graph.ts's `prune`. */
function boundTensors(graph: Graph, number: ReadonlyMap<string, number>): Int32Array[] {
  const parts = new Map<string, string[]>();
  for (const { name, within } of graph.tensors.values())
    if (within) parts.set(within.tensor, [...(parts.get(within.tensor) ?? []), name]);
  return [...graph.tensors.values()].map(({ name, within }) => {
    const whole = within?.tensor;
    const all = [name, ...(parts.get(name) ?? []), ...(whole ? [whole, ...(parts.get(whole) ?? [])] : [])];
    return Int32Array.from(new Set(all), (one) => number.get(one) as number);
  });
}

/**
 * Simulates rewritten graphs without making them: gives what `timeline(rewrite(graph, decisions))` would, from vectors
 * of actions over the saved activations, in numbers instead of names.
 */
export class Evaluator {
  /** Names of the saved activations, in the order of the vectors. */
  readonly activations: readonly string[];
  private readonly graph: Compiled;
  private readonly residentBytes: number;
  private readonly backwardMembers: readonly Int32Array[];
  private readonly tensorCount: number;

  // the rewritten schedule: for each node the node it is (a copy of), where its inputs and outputs begin, its block
  private base = new Int32Array(1024);
  private isCopy = new Uint8Array(1024);
  private place = new Int32Array(1024);
  private start = new Int32Array(1025);
  private names = new Int32Array(8192);
  private count = 0;
  private nameCount = 0;
  /** The tensor that each instance is (a copy of). */
  private instance = new Int32Array(4096);
  private instances = 0;
  // by tensor
  private readonly current: Int32Array;
  private readonly standing: Int32Array;
  private readonly local: Int32Array;
  // by node
  private readonly found: Int32Array;
  private stamp = 0;
  // by instance
  private origin = new Int32Array(0);
  private wanted = new Uint8Array(0);
  private lastRead = new Int32Array(0);
  private storage = new Int32Array(0);
  // by storage
  private storageBytes = new Float64Array(0);
  private storageStart = new Int32Array(0);
  private storageEnd = new Int32Array(0);
  private storagePart = new Int32Array(0);
  private tenant = new Int32Array(0);
  private tenantFrom = new Int32Array(0);
  // flags by instance: it must last to the end; it is the next value of a state
  private stays = new Uint8Array(0);
  private replaced = new Uint8Array(0);

  /** The swaps of the vector at hand, by the number of the activation's tensor. */
  private readonly swapOf: (EmittedSwap | undefined)[];
  private swaps: EmittedSwap[] = [];
  private readonly activationTensors: Int32Array;

  /** `swapMs` holds the time of one copy of each saved activation, in their order. */
  constructor(
    graph: Graph,
    private readonly nodeMs: readonly number[],
    private readonly swapMs: readonly number[],
  ) {
    const saved = savedActivations(graph);
    this.activations = [...saved.keys()];
    this.graph = compile(graph, nodeMs, this.activations);
    this.residentBytes = timeline(graph).residentBytes;
    const number = new Map([...graph.tensors.keys()].map((name, i) => [name, i]));
    this.backwardMembers = [...saved.values()].map(({ backwardMembers }) =>
      Int32Array.from(backwardMembers, (name) => number.get(name) as number),
    );
    const { made } = this.graph;
    this.activationTensors = Int32Array.from(this.activations, (name) => number.get(name) as number);
    const rankOf = (activation: number): number => made[this.activationTensors[activation] as number] as number;
    for (const node of this.graph.nodes) node.targets.sort((a, z) => rankOf(a) - rankOf(z));
    this.tensorCount = number.size;
    this.swapOf = new Array<undefined>(number.size).fill(undefined);
    this.current = new Int32Array(this.tensorCount);
    this.standing = new Int32Array(this.tensorCount);
    this.local = new Int32Array(this.tensorCount);
    this.found = new Int32Array(graph.nodes.length);
  }

  /** Peak, time and live bytes of the step with an action for each saved activation. */
  evaluate(actions: Uint8Array): Evaluation {
    this.emit(actions);
    this.prune();
    this.openSwaps(actions);
    this.findLastReads();
    const waitMs = this.swaps.length ? this.placeSwaps() : 0;
    const evaluation = this.simulate(waitMs);
    for (const { tensor } of this.swaps) this.swapOf[tensor] = undefined;
    return evaluation;
  }

  /** Writes the rewritten schedule, as `insertRecomputation` does. */
  private emit(actions: Uint8Array): void {
    const { nodes } = this.graph;
    this.count = 0;
    this.nameCount = 0;
    this.instances = this.tensorCount;
    this.current.fill(-1);
    this.standing.fill(-1);
    const { current } = this;
    for (let rank = 0; rank < nodes.length; rank++) {
      const node = nodes[rank] as CompiledNode;
      for (const target of node.targets) if (isAgain(actions[target])) this.emitBlock(target, actions, rank);
      this.open(rank, false, rank);
      for (const name of node.inputs) {
        const copy = name < 0 ? -1 : (current[name] as number);
        this.pushName(copy >= 0 ? copy : name);
      }
      for (const name of node.outputs) this.pushName(name);
    }
    this.start[this.count] = this.nameCount;
  }

  private emitBlock(target: number, actions: Uint8Array, place: number): void {
    const { nodes, made, owner, after } = this.graph;
    const { current, standing, local, found } = this;
    const stamp = ++this.stamp;
    const ranks: number[] = [];
    const stack = [...(this.backwardMembers[target] as Int32Array)];
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
      this.open(rank, true, place);
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
    for (const member of this.backwardMembers[target] as Int32Array) {
      const there = standing[member] as number;
      current[member] = there >= 0 ? there : (local[member] as number);
    }
    for (const rank of ranks)
      for (const name of (nodes[rank] as CompiledNode).copyOutputs) if (name >= 0) local[name] = 0;
  }

  private open(base: number, isCopy: boolean, place: number): void {
    if (this.count + 1 >= this.base.length) {
      this.base = wider(this.base);
      this.place = wider(this.place);
      this.start = wider(this.start);
      const flags = new Uint8Array(this.base.length);
      flags.set(this.isCopy);
      this.isCopy = flags;
    }
    this.base[this.count] = base;
    this.isCopy[this.count] = isCopy ? 1 : 0;
    this.place[this.count] = place;
    this.start[this.count++] = this.nameCount;
  }

  private pushName(name: number): void {
    if (this.nameCount === this.names.length) this.names = wider(this.names);
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

  /** Leaves out what nothing depends on. */
  private prune(): void {
    const { graph, tensorCount, base, start, names } = this;
    if (this.wanted.length < this.instances) this.makeRoom();
    const { wanted } = this;
    wanted.fill(0, 0, this.instances);
    const want = (name: number): void => {
      if (name >= tensorCount) wanted[name] = 1;
      else if (name >= 0 && !wanted[name]) for (const one of graph.bound[name] as Int32Array) wanted[one] = 1;
    };
    for (const name of graph.wanted) want(name);
    const kept: number[] = [];
    for (let i = this.count - 1; i >= 0; i--) {
      const node = graph.nodes[base[i] as number] as CompiledNode;
      const from = start[i] as number;
      const middle = from + node.inputs.length;
      let used = false;
      for (let at = middle; at < (start[i + 1] as number); at++) {
        const name = names[at] as number;
        if (name >= 0 && wanted[name]) used = true;
      }
      if (!used) continue;
      kept.push(i);
      for (let at = from; at < middle; at++) want(names[at] as number);
    }
    kept.reverse();
    this.kept = kept;
  }
  private kept: number[] = [];

  private makeRoom(): void {
    const room = 2 * this.instances;
    this.origin = new Int32Array(room);
    this.wanted = new Uint8Array(room);
    this.lastRead = new Int32Array(room);
    this.storage = new Int32Array(room);
    this.storageBytes = new Float64Array(room);
    this.storageStart = new Int32Array(room);
    this.storageEnd = new Int32Array(room);
    this.storagePart = new Int32Array(room);
    this.tenant = new Int32Array(room);
    this.tenantFrom = new Int32Array(room);
    this.stays = new Uint8Array(room);
    this.replaced = new Uint8Array(room);
  }

  private tensorOf(instance: number): number {
    return instance < this.tensorCount ? instance : (this.instance[instance] as number);
  }

  /** The swaps of a vector, before their uses are known. */
  private openSwaps(actions: Uint8Array): void {
    this.swaps = [];
    for (let i = 0; i < actions.length; i++) {
      if (actions[i] !== swapped) continue;
      const tensor = this.activationTensors[i] as number;
      const ms = this.swapMs[i] as number;
      const uses = { created: 0, lastForwardAccess: -1, firstBackwardAccess: Number.MAX_SAFE_INTEGER };
      const swap = {
        tensor,
        ms,
        ...uses,
        lastBackwardAccess: -1,
        outMs: 0,
        outDone: 0,
        inMs: 0,
        prefetch: 0,
        storage: -1,
      };
      this.swapOf[tensor] = swap;
      this.swaps.push(swap);
    }
  }

  /** Places the copies of all swaps; returns the time that nodes wait for them, ms: swap-placement.ts's `stepTime`. */
  private placeSwaps(): number {
    const { kept, base } = this;
    const nodeMs = new Float64Array(kept.length);
    for (let rank = 0; rank < kept.length; rank++)
      nodeMs[rank] = this.nodeMs[base[kept[rank] as number] as number] as number;
    const { leaving, returning } = placeCopies(nodeMs, this.swaps);
    const done = [...leaving].sort((a, z) => a.outDone - z.outDone);
    let [now, outFree, inFree, waited] = [0, 0, 0, 0];
    let [out, awaited, into, back] = [0, 0, 0, 0];
    const begun = [...returning].sort((a, z) => a.prefetch - z.prefetch);
    const arrive = (ms: number): void => {
      waited += Math.max(0, ms - now);
      now = Math.max(now, ms);
    };
    for (let rank = 0; rank < nodeMs.length; rank++) {
      for (let swap = leaving[out]; swap && swap.lastForwardAccess + 1 === rank; swap = leaving[++out])
        swap.outMs = outFree = Math.max(outFree, now) + swap.ms;
      for (let swap = done[awaited]; swap?.outDone === rank; swap = done[++awaited]) arrive(swap.outMs);
      for (let swap = begun[into]; swap?.prefetch === rank; swap = begun[++into])
        swap.inMs = inFree = Math.max(inFree, now) + swap.ms;
      for (let swap = returning[back]; swap?.firstBackwardAccess === rank; swap = returning[++back]) arrive(swap.inMs);
      now += nodeMs[rank] as number;
    }
    return waited;
  }

  /** Who reads what for the last time, seen through views: the first half of memory/liveness.ts's `storages`. */
  private findLastReads(): void {
    const { graph, kept, base, start, names, origin, lastRead } = this;
    for (let name = 0; name < this.instances; name++) origin[name] = name;
    lastRead.fill(-1, 0, this.instances);
    const latestPart = new Int32Array(graph.part.length).fill(-1);
    kept.forEach((i, rank) => {
      const node = graph.nodes[base[i] as number] as CompiledNode;
      const from = start[i] as number;
      const middle = from + node.inputs.length;
      for (let at = from; at < middle; at++) {
        const name = names[at] as number;
        if (name < 0) continue;
        const root = origin[name] as number;
        const swap = root < this.tensorCount ? this.swapOf[root] : undefined;
        if (swap && !node.view) {
          // what is read in the backward phase is the copy that has come back
          if (node.forward && !this.isCopy[i]) swap.lastForwardAccess = Math.max(swap.lastForwardAccess, rank);
          else {
            swap.firstBackwardAccess = Math.min(swap.firstBackwardAccess, rank);
            swap.lastBackwardAccess = rank;
          }
        }
        lastRead[root] = rank;
        const places = name < this.tensorCount ? graph.places[name] : undefined;
        // who reads a flat buffer reads what was put last into each of its places
        if (places)
          for (const one of places) {
            const part = latestPart[one] as number;
            if (part >= 0) lastRead[origin[part] as number] = rank;
          }
      }
      for (let at = middle; at < (start[i + 1] as number); at++) {
        const name = names[at] as number;
        if (name < 0) continue;
        if (node.view) origin[name] = origin[names[from] as number] as number;
        const swap = name < this.tensorCount ? this.swapOf[name] : undefined;
        if (swap) {
          swap.created = rank;
          swap.lastForwardAccess = Math.max(swap.lastForwardAccess, rank);
        }
        const part = name < this.tensorCount ? (graph.part[name] as number) : -1;
        if (part >= 0) latestPart[part] = name;
      }
    });
    const last = kept.length - 1;
    for (const name of graph.outputs) lastRead[origin[name] as number] = last;
  }

  private simulate(waitMs: number): Evaluation {
    const { graph, kept, base, start, names, origin, lastRead, storage } = this;
    const count = kept.length;
    const { stays, replaced } = this;
    stays.fill(0, 0, this.instances);
    replaced.fill(0, 0, this.instances);
    for (const name of graph.outputs) stays[origin[name] as number] = 1;
    for (const name of graph.afters) replaced[origin[name] as number] = 1;
    storage.fill(-1, 0, this.instances); // residents: they live always
    let storages = 0;
    let totalMs = waitMs;
    const returning = [...this.swaps].sort((a, z) => a.prefetch - z.prefetch);
    const read = [...this.swaps].sort((a, z) => a.firstBackwardAccess - z.firstBackwardAccess);
    let [back, arrived] = [0, 0];
    kept.forEach((i, rank) => {
      const node = graph.nodes[base[i] as number] as CompiledNode;
      totalMs += node.ms;
      for (let swap = returning[back]; swap?.prefetch === rank; swap = returning[++back])
        storages = this.beginReturn(swap, storages);
      for (let swap = read[arrived]; swap?.firstBackwardAccess === rank; swap = read[++arrived])
        storage[swap.tensor] = swap.storage;
      if (node.view) return;
      const from = start[i] as number;
      const middle = from + node.inputs.length;
      for (let at = middle; at < (start[i + 1] as number); at++) {
        const name = names[at] as number;
        if (name < 0 || replaced[name]) continue;
        const tensor = this.tensorOf(name);
        if (graph.host[tensor]) continue;
        const output = at - middle;
        const leaves = name < this.tensorCount ? this.swapOf[name] : undefined;
        const taken = this.overwritable(node, output, tensor, rank, from);
        if (taken >= 0) {
          this.tenant[taken] = name;
          this.tenantFrom[taken] = rank;
          this.storageEnd[taken] = leaves ? leaves.outDone - 1 : Math.max(rank, lastRead[name] as number);
          if (leaves) this.storagePart[taken] = outside;
          storage[name] = taken;
          continue;
        }
        const part = graph.part[tensor] as number;
        const begin = part >= 0 && this.overwritesPart(node, output, tensor, from) ? rank + 1 : rank;
        this.storageBytes[storages] = graph.bytes[tensor] as number;
        this.storageStart[storages] = begin;
        this.storageEnd[storages] = leaves ? leaves.outDone - 1 : Math.max(begin, lastRead[name] as number);
        this.storagePart[storages] = leaves ? outside : part;
        this.tenant[storages] = name;
        this.tenantFrom[storages] = begin;
        storage[name] = storages++;
      }
    });
    return this.sum(storages, count, totalMs);
  }

  /** The copy back takes memory. */
  private beginReturn(swap: EmittedSwap, storages: number): number {
    this.storageBytes[storages] = this.graph.bytes[swap.tensor] as number;
    this.storageStart[storages] = swap.prefetch;
    this.storageEnd[storages] = swap.lastBackwardAccess;
    this.storagePart[storages] = -1;
    this.tenant[storages] = swap.tensor;
    this.tenantFrom[storages] = -1;
    swap.storage = storages;
    return storages + 1;
  }

  /** Live bytes by node from the storages' lives. */
  private sum(storages: number, count: number, totalMs: number): Evaluation {
    const change = new Float64Array(count + 2);
    for (let i = 0; i < storages; i++) {
      change[this.storageStart[i] as number]! += this.storageBytes[i] as number;
      change[(this.storageEnd[i] as number) + 1]! -= this.storageBytes[i] as number;
    }
    const liveBytes = new Float64Array(this.graph.nodes.length);
    let live = this.residentBytes;
    let peakBytes = this.residentBytes;
    for (let rank = 0; rank < count; rank++) {
      live += change[rank] as number;
      if (live > peakBytes) peakBytes = live;
      const place = this.place[this.kept[rank] as number] as number;
      if (live > (liveBytes[place] as number)) liveBytes[place] = live;
    }
    return { peakBytes, totalMs, liveBytes };
  }

  /** The storage that an output may take over from one of the node's inputs; -1 for none. */
  private overwritable(node: CompiledNode, output: number, tensor: number, rank: number, from: number): number {
    const { graph, names, storage } = this;
    const slots = node.slots[output] as readonly number[];
    if (!slots.length || (graph.part[tensor] as number) >= 0 || !node.inPlace[graph.dtype[tensor] as number]) return -1;
    for (const slot of slots) {
      const input = slot < node.inputs.length ? (names[from + slot] as number) : -1;
      if (input < 0) continue;
      const candidate = storage[this.origin[input] as number] as number;
      if (candidate < 0 || this.storagePart[candidate] !== -1 || this.storageEnd[candidate] !== rank) continue;
      if (this.tenantFrom[candidate] === rank || this.stays[this.tenant[candidate] as number]) continue;
      const read = this.tensorOf(input);
      if (this.storageBytes[candidate] !== graph.bytes[tensor] || graph.dtype[read] !== graph.dtype[tensor]) continue;
      if (this.readsOtherwise(node, slot, input, candidate, from, slots)) continue;
      return candidate;
    }
    return -1;
  }

  /** Whether a node reads a storage through another input than those that may be written over. */
  private readsOtherwise(
    node: CompiledNode,
    slot: number,
    input: number,
    candidate: number,
    from: number,
    slots: readonly number[],
  ): boolean {
    for (let other = 0; other < node.inputs.length; other++) {
      const name = this.names[from + other] as number;
      if (other === slot || name < 0 || this.storage[this.origin[name] as number] !== candidate) continue;
      let last = other;
      for (let i = other; i < node.inputs.length; i++) if (this.names[from + i] === name) last = i;
      if (name !== input || !slots.includes(last)) return true;
    }
    return false;
  }

  /** Whether an output goes to a place in a flat buffer where an input of the node is. */
  private overwritesPart(node: CompiledNode, output: number, tensor: number, from: number): boolean {
    const { graph, names, storage } = this;
    return (node.slots[output] as readonly number[]).some((slot) => {
      const input = slot < node.inputs.length ? (names[from + slot] as number) : -1;
      if (input < 0) return false;
      const lies = storage[this.origin[input] as number] as number;
      if (lies >= 0 && this.storagePart[lies] === graph.part[tensor]) return true;
      return graph.places[this.tensorOf(input)]?.includes(graph.part[tensor] as number) ?? false;
    });
  }
}

/** A swapped activation in the schedule at hand. */
interface EmittedSwap extends Timed {
  readonly tensor: number;
  created: number;
  lastForwardAccess: number;
  firstBackwardAccess: number;
  lastBackwardAccess: number;
  /** The storage that it comes back to. */
  storage: number;
}

/** Marks the storage of an activation that leaves: no node writes over it. */
const outside = -2;

const isAgain = (action: number | undefined): boolean => action === alone || action === held;

const wider = (list: Int32Array): Int32Array<ArrayBuffer> => {
  const more = new Int32Array(2 * list.length);
  more.set(list);
  return more;
};
