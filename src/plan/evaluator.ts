import type { Graph } from "../graph/graph.js";
import { timeline } from "../memory/liveness.js";
import { type Compiled, type CompiledNode, compile } from "./compiled.js";
import { type Evaluation, endless } from "./front.js";
import { pcieLink } from "./link.js";
import type { Steady } from "./plan.js";
import { Schedule, swapped } from "./schedule.js";
import { copyCostMs, type OpenSwap, openSwap, placeCopies } from "./swap-placement.js";

/** Marks the storage of an activation that leaves: no node writes over it. */
const outside = -2;

/**
 * Simulates rewritten graphs without making them: gives what `timeline(rewrite(graph, decisions))` and `stepTime` would,
 * from vectors of actions over the saved activations, in numbers instead of names.
 */
export class Evaluator {
  readonly graph: Compiled;
  private readonly schedule: Schedule;
  private readonly residentBytes: number;
  // by instance
  private origin = new Int32Array(0);
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
  /** A node's change of live bytes, and the part that was put last into each place of a flat buffer. */
  private change = new Float64Array(0);
  private readonly latestPart: Int32Array;
  /** The swaps of the vector at hand, and by the number of the activation's tensor. */
  private swaps: OpenSwap[] = [];
  private readonly swapOf: (OpenSwap | undefined)[];

  /**
   * `nodeMs` holds the time of each node, `swapMs` that of one copy of each saved activation. Steps of more than
   * `mostNodes` nodes are not simulated: they take for ever. `steady` says what lives beside each node where plans are
   * executed in another order: the peak is then never less than theirs.
   */
  constructor(
    graph: Graph,
    nodeMs: readonly number[],
    private readonly swapMs: readonly number[],
    mostNodes?: number,
    private readonly steady?: Steady,
  ) {
    this.graph = compile(graph, nodeMs);
    this.schedule = new Schedule(this.graph, mostNodes);
    this.residentBytes = timeline(graph).residentBytes;
    this.latestPart = new Int32Array(1 + this.graph.part.reduce((most, one) => Math.max(most, one), -1));
    this.swapOf = new Array<undefined>(this.schedule.tensorCount).fill(undefined);
  }

  /** Peak, time and live bytes of the step with an action for each saved activation, `earliest` as in Timed. */
  evaluate(actions: Uint8Array, earliest?: Int32Array): Evaluation {
    if (!this.schedule.write(actions)) return endless(this.graph.nodes.length);
    if (this.origin.length < this.schedule.instances) this.makeRoom();
    this.openSwaps(actions, earliest);
    this.findLastReads();
    const waitMs = this.swaps.length ? this.placeSwaps() : 0;
    const evaluation = this.simulate(waitMs);
    for (const { tensor } of this.swaps) this.swapOf[tensor] = undefined;
    return evaluation;
  }

  private makeRoom(): void {
    const room = 2 * this.schedule.instances;
    this.origin = new Int32Array(room);
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

  /** The swaps of a vector, before their uses are known. */
  private openSwaps(actions: Uint8Array, earliest?: Int32Array): void {
    this.swaps = [];
    for (let i = 0; i < actions.length; i++) {
      if (actions[i] !== swapped) continue;
      const first = earliest ? this.schedule.rankOf(earliest[i] as number) : 0;
      const swap = openSwap(this.graph.activationTensors[i] as number, this.swapMs[i] as number, first);
      this.swapOf[swap.tensor] = swap;
      this.swaps.push(swap);
    }
  }

  /** Places the copies of all swaps; returns what they cost the nodes, ms. */
  private placeSwaps(): number {
    const { kept, keptCount, base } = this.schedule;
    const { ms } = this.graph.flat;
    const nodeMs = new Float64Array(keptCount);
    for (let rank = 0; rank < keptCount; rank++) nodeMs[rank] = ms[base[kept[rank] as number] as number] as number;
    const join = this.steady && this.schedule.rankOf(this.steady.join);
    return copyCostMs(nodeMs, placeCopies(nodeMs, this.swaps, pcieLink, join));
  }

  /** Who reads what for the last time, seen through views: the first half of memory/liveness.ts's `storages`. */
  private findLastReads(): void {
    const { graph, origin, lastRead, latestPart } = this;
    const { kept, keptCount, base, isCopy, start, names, instances, tensorCount, middle: middles } = this.schedule;
    const { view, forward } = graph.flat;
    const hasSwaps = this.swaps.length > 0;
    for (let name = 0; name < instances; name++) origin[name] = name;
    lastRead.fill(-1, 0, instances);
    latestPart.fill(-1);
    for (let rank = 0; rank < keptCount; rank++) {
      const i = kept[rank] as number;
      const node = base[i] as number;
      const from = start[i] as number;
      const middle = middles[i] as number;
      for (let at = from; at < middle; at++) {
        const name = names[at] as number;
        if (name < 0) continue;
        const root = origin[name] as number;
        const swap = hasSwaps && root < tensorCount ? this.swapOf[root] : undefined;
        if (swap && !view[node]) {
          // what is read in the backward phase is the copy that has come back
          if (forward[node] && !isCopy[i]) swap.lastForwardAccess = Math.max(swap.lastForwardAccess, rank);
          else {
            swap.firstBackwardAccess = Math.min(swap.firstBackwardAccess, rank);
            swap.lastBackwardAccess = rank;
          }
        }
        lastRead[root] = rank;
        const places = name < tensorCount ? graph.places[name] : undefined;
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
        if (view[node]) origin[name] = origin[names[from] as number] as number;
        const swap = hasSwaps && name < tensorCount ? this.swapOf[name] : undefined;
        if (swap) {
          swap.created = rank;
          swap.lastForwardAccess = Math.max(swap.lastForwardAccess, rank);
        }
        const part = name < tensorCount ? (graph.part[name] as number) : -1;
        if (part >= 0) latestPart[part] = name;
      }
    }
    for (const [tensor, last] of graph.arrivals) lastRead[tensor] = this.schedule.rankOf(last);
    const last = keptCount - 1;
    for (const name of graph.outputs) lastRead[origin[name] as number] = last;
  }

  private simulate(waitMs: number): Evaluation {
    const { graph, origin, lastRead, storage, stays, replaced } = this;
    const { kept, keptCount, base, start, names, instances, tensorCount, middle: middles } = this.schedule;
    const { ms, view, overwrites } = graph.flat;
    stays.fill(0, 0, instances);
    replaced.fill(0, 0, instances);
    for (const name of graph.outputs) stays[origin[name] as number] = 1;
    for (const name of graph.afters) replaced[origin[name] as number] = 1;
    storage.fill(-1, 0, instances); // residents: they live always
    let storages = 0;
    let totalMs = waitMs;
    const returning = [...this.swaps].sort((a, z) => a.prefetch - z.prefetch);
    const read = [...this.swaps].sort((a, z) => a.firstBackwardAccess - z.firstBackwardAccess);
    let [back, arrived] = [0, 0];
    for (let rank = 0; rank < keptCount; rank++) {
      const i = kept[rank] as number;
      const node = base[i] as number;
      totalMs += ms[node] as number;
      for (let swap = returning[back]; swap?.prefetch === rank; swap = returning[++back])
        storages = this.beginReturn(swap, storages);
      for (let swap = read[arrived]; swap?.firstBackwardAccess === rank; swap = read[++arrived])
        storage[swap.tensor] = swap.storage;
      if (view[node]) continue;
      const from = start[i] as number;
      const middle = middles[i] as number;
      for (let at = middle; at < (start[i + 1] as number); at++) {
        const name = names[at] as number;
        if (name < 0 || replaced[name]) continue;
        const tensor = this.schedule.tensorOf(name);
        if (graph.host[tensor]) continue;
        const output = at - middle;
        const leaves = name < tensorCount ? this.swapOf[name] : undefined;
        const taken = overwrites[node] ? this.overwritable(node, output, tensor, rank, from) : -1;
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
    }
    return this.sum(storages, totalMs);
  }

  /** The copy back takes memory. */
  private beginReturn(swap: OpenSwap, storages: number): number {
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
  private sum(storages: number, totalMs: number): Evaluation {
    const { kept, keptCount, place } = this.schedule;
    if (this.change.length < keptCount + 2) this.change = new Float64Array(2 * keptCount + 2);
    const { change } = this;
    change.fill(0, 0, keptCount + 2);
    for (let i = 0; i < storages; i++) {
      change[this.storageStart[i] as number]! += this.storageBytes[i] as number;
      change[(this.storageEnd[i] as number) + 1]! -= this.storageBytes[i] as number;
    }
    const liveBytes = new Float64Array(this.graph.nodes.length);
    let live = this.residentBytes;
    let peakBytes = this.residentBytes;
    for (let rank = 0; rank < keptCount; rank++) {
      live += change[rank] as number;
      if (live > peakBytes) peakBytes = live;
      const at = place[kept[rank] as number] as number;
      if (live > (liveBytes[at] as number)) liveBytes[at] = live;
    }
    if (this.steady) peakBytes = this.steady.fold(liveBytes, this.residentBytes);
    const hostBytes = this.swaps.reduce((sum, { tensor }) => sum + (this.graph.bytes[tensor] as number), 0);
    return { peakBytes, totalMs, hostBytes, liveBytes, nodeCount: keptCount };
  }

  /** The storage that an output may take over from one of the node's inputs; -1 for none. */
  private overwritable(base: number, output: number, tensor: number, rank: number, from: number): number {
    const { graph, storage } = this;
    const node = graph.nodes[base] as CompiledNode;
    const { names } = this.schedule;
    const slots = node.slots[output] as readonly number[];
    if (!slots.length || (graph.part[tensor] as number) >= 0 || !node.inPlace[graph.dtype[tensor] as number]) return -1;
    for (const slot of slots) {
      const input = slot < node.inputs.length ? (names[from + slot] as number) : -1;
      if (input < 0) continue;
      const candidate = storage[this.origin[input] as number] as number;
      if (candidate < 0 || this.storagePart[candidate] !== -1 || this.storageEnd[candidate] !== rank) continue;
      if (this.tenantFrom[candidate] === rank || this.stays[this.tenant[candidate] as number]) continue;
      const read = this.schedule.tensorOf(input);
      if (this.storageBytes[candidate] !== graph.bytes[tensor] || graph.dtype[read] !== graph.dtype[tensor]) continue;
      if (graph.bytes[read] !== graph.bytes[tensor]) continue;
      if (this.readsOtherwise(node, slot, from, slots)) continue;
      return candidate;
    }
    return -1;
  }

  /** Whether a node reads a storage through another input than those that may be written over. */
  private readsOtherwise(node: CompiledNode, slot: number, from: number, slots: readonly number[]): boolean {
    const input = this.schedule.names[from + slot] as number;
    const candidate = this.storage[this.origin[input] as number] as number;
    for (let other = 0; other < node.inputs.length; other++) {
      const name = this.schedule.names[from + other] as number;
      if (other === slot || name < 0 || this.storage[this.origin[name] as number] !== candidate) continue;
      let last = other;
      for (let i = other; i < node.inputs.length; i++) if (this.schedule.names[from + i] === name) last = i;
      if (name !== input || !slots.includes(last)) return true;
    }
    return false;
  }

  /** Whether an output goes to a place in a flat buffer where an input of the node is. */
  private overwritesPart(base: number, output: number, tensor: number, from: number): boolean {
    const { graph, storage } = this;
    const { names } = this.schedule;
    const node = graph.nodes[base] as CompiledNode;
    return (node.slots[output] as readonly number[]).some((slot) => {
      const input = slot < node.inputs.length ? (names[from + slot] as number) : -1;
      if (input < 0) return false;
      const lies = storage[this.origin[input] as number] as number;
      if (lies >= 0 && this.storagePart[lies] === graph.part[tensor]) return true;
      return graph.places[this.schedule.tensorOf(input)]?.includes(graph.part[tensor] as number) ?? false;
    });
  }
}
