import { Placed, takesTurns } from "./placed.js";
import type { Storage } from "./storages.js";
import type { Wide } from "./worst-peak.js";

/** Every storage starts on such a boundary: a cache line. */
const alignment = 64;

export const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** When a storage lives, and how long for nodes of other lanes. */
export type Span = Pick<Storage, "start" | "end"> & { readonly wide?: Wide | undefined };

/** A storage whose place is given. */
export interface Fixed {
  readonly storage: Span;
  readonly offset: number;
  readonly end: number;
}

/** What is to be placed from `base` bytes on, among what has its place, in a schedule of `count` nodes. */
export interface PackingProblem {
  readonly free: readonly (Span & Pick<Storage, "bytes">)[];
  readonly fixed: readonly Fixed[];
  readonly base: number;
  readonly count: number;
}

/** Storages of a list that are passed over as one, where there are many lists. */
const mostInChunk = 128;

/** About how many storages share one sorted list. */
const perList = 1000;

/**
 * Places storages one after the other, each at the lowest offset where it fits among those that live at the same time.
 * Arrays hold the free storages in the given order, then the fixed ones, widened to whole lines.
 */
export class Packing {
  /** How many storages are free. */
  readonly free: number;
  readonly size: Float64Array;
  readonly start: Int32Array;
  readonly end: Int32Array;
  /** The same as nodes of other lanes see it. */
  readonly from: Int32Array;
  readonly until: Int32Array;
  /** The lane of each; undefined where no two nodes run at the same time. */
  readonly lane: Int32Array | undefined;
  /** Where each lies. */
  readonly offset: Float64Array;
  /** Where each ends. */
  readonly top: Float64Array;
  readonly base: number;
  readonly count: number;
  /** Comparisons so far: a measure of the time spent that is the same on every machine. */
  work = 0;
  /** Ranks that share a list. */
  private readonly span: number;
  /** For each span of ranks what is placed and lives in it, from the bottom up. */
  private readonly lists: readonly Placed[];
  /** All that is placed, where there are several spans. */
  private readonly all: Placed | undefined;
  /** Keys of what lives at the same time as a storage of several spans. */
  private keys = new Float64Array(64);

  constructor({ free, fixed, base, count }: PackingProblem) {
    const total = free.length + fixed.length;
    this.free = free.length;
    this.base = base;
    this.count = count;
    this.size = new Float64Array(total);
    this.start = new Int32Array(total);
    this.end = new Int32Array(total);
    const all = [...free, ...fixed.map(({ storage }) => storage)];
    const hasLanes = all.some(({ wide }) => wide);
    this.from = hasLanes ? Int32Array.from(all, ({ start, wide }) => wide?.from ?? start) : this.start;
    this.until = hasLanes ? Int32Array.from(all, ({ end, wide }) => wide?.until ?? end) : this.end;
    this.lane = hasLanes ? Int32Array.from(all, ({ wide }) => wide?.lane ?? 0) : undefined;
    this.offset = new Float64Array(total);
    this.top = new Float64Array(total);
    free.forEach(({ bytes, start, end }, i) => {
      this.size[i] = aligned(bytes);
      this.start[i] = start;
      this.end[i] = end;
    });
    fixed.forEach(({ storage, offset, end }, index) => {
      const i = free.length + index;
      this.offset[i] = Math.floor(offset / alignment) * alignment;
      this.top[i] = aligned(end);
      this.size[i] = (this.top[i] as number) - (this.offset[i] as number);
      this.start[i] = storage.start;
      this.end[i] = storage.end;
    });
    const lists = total < 3 * perList ? 1 : Math.ceil(total / perList);
    this.span = Math.max(1, Math.ceil((count + 1) / lists));
    // one list is gone through as it is
    const inChunk = lists > 1 ? mostInChunk : total + 1;
    this.lists = Array.from({ length: lists + 1 }, () => new Placed(this, inChunk));
    this.all = lists > 1 ? new Placed(this, inChunk) : undefined;
  }

  private listOf(rank: number): number {
    return Math.max(0, Math.floor(rank / this.span));
  }

  /** Places the free storages in this order, after the fixed ones; returns the end of what reaches highest. */
  place(order: Int32Array): number {
    const { size, offset, top } = this;
    for (const list of this.lists) list.clear();
    this.all?.clear();
    let highest = this.base;
    for (let i = this.free; i < size.length; i++) {
      this.add(i);
      highest = Math.max(highest, top[i] as number);
    }
    for (const one of order) {
      const at = this.lowest(one);
      offset[one] = at;
      const end = at + (size[one] as number);
      top[one] = end;
      this.add(one);
      if (end > highest) highest = end;
    }
    return highest;
  }

  /** The lowest offset at which a storage fits. */
  private lowest(one: number): number {
    const [first, last] = [this.listOf(this.from[one] as number), this.listOf(this.until[one] as number)];
    if (first === last || !this.all) return this.lowestIn(one, this.lists[first] as Placed);
    let among = 0;
    for (let index = first; index <= last; index++) among += (this.lists[index] as Placed).length;
    // sorting is dearer than looking through all that is placed, where much of that lives beside it
    return sorting * among > this.all.length ? this.lowestIn(one, this.all) : this.lowestAmong(one, first, last);
  }

  private lowestIn(one: number, list: Placed): number {
    const found = list.lowest(one, this.size[one] as number, this.base);
    this.work += list.passed;
    return found;
  }

  /** The same for a storage that lives in several spans: what lives beside it is gathered and sorted. */
  private lowestAmong(one: number, first: number, last: number): number {
    const { from, until, offset, top } = this;
    const [begin, end, size] = [from[one] as number, until[one] as number, this.size[one] as number];
    let found = 0;
    for (let index = first; index <= last; index++) {
      const list = this.lists[index] as Placed;
      this.work += list.length;
      list.forEach((other) => {
        const first = from[other] as number;
        if (first > end || (until[other] as number) < begin) return;
        if (this.listOf(Math.max(first, begin)) !== index) return; // it is in an earlier list too
        if (takesTurns(this, one, other)) return;
        if (found === this.keys.length) {
          const more = new Float64Array(2 * found);
          more.set(this.keys);
          this.keys = more;
        }
        this.keys[found++] = ((offset[other] as number) / alignment) * keyed + other;
      });
    }
    this.work += sorting * found;
    let cursor = this.base;
    for (const key of this.keys.subarray(0, found).sort()) {
      const other = key % keyed;
      if ((offset[other] as number) - cursor >= size) break;
      if ((top[other] as number) > cursor) cursor = top[other] as number;
    }
    return cursor;
  }

  /** Puts what is placed into the lists of its life. */
  private add(one: number): void {
    const last = this.listOf(this.until[one] as number);
    for (let index = this.listOf(this.from[one] as number); index <= last; index++) this.lists[index]?.insert(one);
    this.all?.insert(one);
  }
}

/** About how many comparisons it takes to sort in one of a list. */
const sorting = 8;

/** More than there are storages: an offset in lines times this and the storage's number is one exact number. */
const keyed = 2 ** 20;
