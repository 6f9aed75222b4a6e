import { type Graph, tensorBytes } from "../graph/graph.js";
import { type Storage, storages } from "./storages.js";

/** Where each tensor lies: in the device's one arena, or in that of the host. */
export interface Layout {
  /** Size of the arena: the peak that is predicted and allocated. */
  readonly arenaBytes: number;
  /** Byte offset in it of every tensor of the device. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Size of the arena in host memory, for swapped tensors. */
  readonly hostBytes: number;
  /** Byte offset in it of every host tensor. */
  readonly hostOffsets: ReadonlyMap<string, number>;
}

/** Every storage starts on such a boundary: a cache line. */
const alignment = 64;

const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

interface Placed {
  readonly storage: Storage;
  readonly offset: number;
  readonly end: number;
}

/**
 * What has been placed, found by when it lives: a centred interval tree over the ranks. Each storage is kept at the
 * topmost node whose centre it lives through, twice: sorted by start and by end.
 */
class Lives {
  private readonly byStart = new Map<number, Placed[]>();
  private readonly byEnd = new Map<number, Placed[]>();
  constructor(private readonly count: number) {}

  add(one: Placed): void {
    const { start, end } = one.storage;
    let [low, high] = [-1, this.count];
    let centre = (low + high) >> 1;
    while (centre < start || centre > end) {
      if (centre < start) low = centre + 1;
      else high = centre - 1;
      centre = (low + high) >> 1;
    }
    insert(this.byStart, centre, one, (other) => other.storage.start <= start);
    insert(this.byEnd, centre, one, (other) => other.storage.end >= end);
  }

  /** All that live at some rank from `start` to `end`. */
  during(start: number, end: number): Placed[] {
    const found: Placed[] = [];
    const visit = (low: number, high: number): void => {
      if (low > high) return;
      const centre = (low + high) >> 1;
      if (end < centre) {
        for (const one of this.byStart.get(centre) ?? [])
          if (one.storage.start <= end) found.push(one);
          else break;
        visit(low, centre - 1);
      } else if (start > centre) {
        for (const one of this.byEnd.get(centre) ?? [])
          if (one.storage.end >= start) found.push(one);
          else break;
        visit(centre + 1, high);
      } else {
        found.push(...(this.byStart.get(centre) ?? []));
        visit(low, centre - 1);
        visit(centre + 1, high);
      }
    };
    visit(-1, this.count);
    return found;
  }
}

/** Puts one into a sorted list, after all that are to stand before it. */
function insert(lists: Map<number, Placed[]>, key: number, one: Placed, before: (other: Placed) => boolean): void {
  const list = lists.get(key);
  if (!list) {
    lists.set(key, [one]);
    return;
  }
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(list[middle] as Placed)) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, one);
}

/** Places storages in the given order, each in the smallest gap that fits among those that live at the same time. */
function place(
  order: readonly Storage[],
  fixed: readonly Placed[],
  base: number,
  count: number,
): { placed: Placed[]; end: number } {
  const lives = new Lives(count);
  for (const one of fixed) lives.add(one);
  const placed: Placed[] = [...fixed];
  let end = fixed.reduce((most, one) => Math.max(most, one.end), base);
  for (const storage of order) {
    const size = aligned(storage.bytes);
    let cursor = base;
    let best = -1;
    let bestGap = Number.POSITIVE_INFINITY;
    for (const other of lives.during(storage.start, storage.end).sort((a, z) => a.offset - z.offset)) {
      const gap = other.offset - cursor;
      if (gap >= size && gap < bestGap) {
        best = cursor;
        bestGap = gap;
      }
      if (other.end > cursor) cursor = aligned(other.end); // parts of flat buffers end anywhere
    }
    const offset = best >= 0 ? best : cursor;
    const entry = { storage, offset, end: offset + size };
    lives.add(entry);
    placed.push(entry);
    if (entry.end > end) end = entry.end;
  }
  return { placed, end };
}

const life = (storage: Storage): number => storage.end - storage.start + 1;

/** Orders of placement to try; the best arena wins. */
const orders: readonly ((a: Storage, z: Storage) => number)[] = [
  (a, z) => z.bytes - a.bytes || a.start - z.start,
  (a, z) => z.bytes * life(z) - a.bytes * life(a) || a.start - z.start,
  (a, z) => life(z) - life(a) || z.bytes - a.bytes,
  (a, z) => a.start - z.start || z.bytes - a.bytes,
];

/**
 * Static offsets for all tensors of a graph, the same way in each of the two arenas: residents first, then everything
 * else by its live range. Tensors that are live at the same time never overlap; the parts of a flat buffer lie side by
 * side.
 */
export function layout(graph: Graph): Layout {
  const { all, host, of } = storages(graph);
  const device = arena(graph, all);
  const outside = arena(graph, host);
  const named = ({ offsets, groups }: Arena): Map<string, number> =>
    new Map([
      ...[...of].flatMap(([name, { storage, offsetBytes }]): [string, number][] => {
        const start = offsets.get(storage);
        return start === undefined ? [] : [[name, start + offsetBytes]];
      }),
      ...groups,
    ]);
  return { arenaBytes: device.bytes, offsets: named(device), hostBytes: outside.bytes, hostOffsets: named(outside) };
}

interface Arena {
  readonly bytes: number;
  readonly offsets: ReadonlyMap<Storage, number>;
  /** Starts of the flat buffers whose parts are made by nodes. */
  readonly groups: ReadonlyMap<string, number>;
}

/** Offsets for these storages in one arena. */
function arena(graph: Graph, all: readonly Storage[]): Arena {
  const offsets = new Map<Storage, number>();
  let base = 0;
  for (const storage of all)
    if (storage.resident) {
      offsets.set(storage, base);
      base += aligned(storage.bytes);
    }
  // flat buffers whose parts are made by nodes: a fixed place, in which others may live before a part is made
  const groups = new Map<string, number>();
  let top = base;
  const fixed: Placed[] = [];
  for (const storage of all) {
    if (!storage.within) continue;
    const { tensor, offsetBytes } = storage.within;
    let start = groups.get(tensor);
    if (start === undefined) {
      start = top;
      groups.set(tensor, start);
      const whole = graph.tensors.get(tensor);
      top += aligned(whole ? tensorBytes(whole) : 0);
    }
    fixed.push({ storage, offset: start + offsetBytes, end: start + offsetBytes + storage.bytes });
  }
  const free = all.filter((storage) => !storage.resident && !storage.within);
  const bound = lowerBound(all, graph.nodes.length, base);
  let best: { placed: Placed[]; end: number } | undefined;
  for (const order of orders) {
    const attempt = place([...free].sort(order), fixed, base, graph.nodes.length);
    if (!best || attempt.end < best.end) best = attempt;
    if (best.end <= bound) break;
  }
  for (const { storage, offset } of best?.placed ?? []) offsets.set(storage, offset);
  return { bytes: Math.max(best?.end ?? base, top), offsets, groups };
}

/** A piece of the arena. */
export interface Piece {
  readonly offset: number;
  readonly bytes: number;
}

/** For each node the largest piece of the arena in which nothing lives while it runs. */
export function idlePieces(graph: Graph, { arenaBytes, offsets }: Layout): Piece[] {
  const places = storages(graph).all.map(({ name, bytes, start, end, resident }) => {
    const offset = offsets.get(name) as number;
    return { offset, until: offset + aligned(bytes), start: resident ? 0 : Math.max(0, start), end };
  });
  type Place = (typeof places)[number];
  const starting = graph.nodes.map((): Place[] => []);
  for (const one of places) starting[one.start]?.push(one);
  let live: Place[] = [];
  return graph.nodes.map((_, rank) => {
    live = live.filter(({ end }) => end >= rank);
    const fresh = starting[rank] as Place[];
    if (fresh.length) live = [...live, ...fresh].sort((a, z) => a.offset - z.offset);
    let best: Piece = { offset: 0, bytes: 0 };
    let free = 0;
    const close = (at: number): void => {
      const offset = Math.ceil(free / idleAlignment) * idleAlignment;
      if (at - offset > best.bytes) best = { offset, bytes: at - offset };
    };
    for (const { offset, until } of live) {
      if (offset > free) close(offset);
      free = Math.max(free, until);
    }
    close(arenaBytes);
    return best;
  });
}

/** Workspaces want coarser boundaries than values. */
const idleAlignment = 512;

/** No layout can be smaller: the greatest sum of aligned bytes that live at once. */
function lowerBound(all: readonly Storage[], count: number, residents: number): number {
  const change = new Float64Array(count + 1);
  for (const { resident, bytes, start, end } of all)
    if (!resident) {
      change[start] = (change[start] as number) + aligned(bytes);
      change[end + 1] = (change[end + 1] as number) - aligned(bytes);
    }
  let live = residents;
  let most = residents;
  for (let rank = 0; rank < count; rank++) {
    live += change[rank] as number;
    most = Math.max(most, live);
  }
  return most;
}
