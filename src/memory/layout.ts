import { type Graph, isFloat, tensorBytes, tensorOf } from "../graph/graph.js";
import { stagesOf } from "../graph/lanes.js";
import { addTo } from "../graph/lists.js";
import { perObject } from "../graph/memo.js";
import { homes } from "./homes.js";
import { lanesOf } from "./lanes.js";
import { pack } from "./pack.js";
import type { FlatBuffer } from "./pack-content.js";
import { aligned, type Span } from "./packing.js";
import { type Storage, storages } from "./storages.js";
import type { Wide } from "./worst-peak.js";

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
  /** Host tensors that lie one over the other (`overlaid`): nothing is copied to or from them. */
  readonly overlaid?: ReadonlySet<string>;
}

/**
 * Static offsets for all tensors of a graph, the same way in each of the two arenas: residents first, then everything
 * else by its live range. Tensors that are live at the same time never overlap, those of lanes whose nodes run beside
 * each other neither, whichever node is faster; the parts of a flat buffer lie side by
 * side, and the buffer right after the residents or at the end of the arena. The same graph gives the same offsets on
 * every machine.
 */
export const layout = perObject((graph: Graph): Layout => {
  const { all, host, of } = storages(graph);
  const device = arena(graph, all);
  const outside = arena(graph, host);
  const named = ({ offsets, groups }: Arena): Map<string, number> => {
    const places = new Map<string, number>();
    if (offsets.size)
      of.forEach(({ storage, offsetBytes }, name) => {
        const start = offsets.get(storage);
        if (start !== undefined) places.set(name, start + offsetBytes);
      });
    for (const [name, start] of groups) places.set(name, start);
    return places;
  };
  return { arenaBytes: device.bytes, offsets: named(device), hostBytes: outside.bytes, hostOffsets: named(outside) };
});

/**
 * The same layout with all floats that are swapped out in one place of the host's arena, one over the other, as large as
 * the largest: what a step takes can be measured so where the host cannot hold everything, its values are then wrong.
 * What may be an index has a place of its own, as it must be right for anything to run.
 */
export function overlaid(graph: Graph, whole: Layout): Layout {
  const hostOffsets = new Map<string, number>();
  const floats: string[] = [];
  let hostBytes = 0;
  for (const name of whole.hostOffsets.keys()) {
    const tensor = tensorOf(graph, name);
    if (isFloat(tensor.dtype)) floats.push(name);
    else {
      hostOffsets.set(name, hostBytes);
      hostBytes += aligned(tensorBytes(tensor));
    }
  }
  let largest = 0;
  for (const name of floats) {
    hostOffsets.set(name, hostBytes);
    largest = Math.max(largest, aligned(tensorBytes(tensorOf(graph, name))));
  }
  return { ...whole, hostBytes: hostBytes + largest, hostOffsets, overlaid: new Set(floats) };
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
  const wide = lanesOf(graph)?.of;
  const own = all.filter((storage) => !storage.resident && !storage.within);
  const flat = flatBuffers(graph, all);
  const carried = carriedPairs(graph, all);
  const { of } = storages(graph);
  const states = new Set([...homes(graph).keys()].map((name) => of.get(name)?.storage));
  const free = [
    ...own.map((storage) => ({
      ...spanOf(storage, wide),
      bytes: storage.bytes,
      ...(states.has(storage) && { aside: true as const }),
    })),
    ...carried.map(([before, after]) => ({ ...acrossSteps(before, after, wide), bytes: before.bytes })),
  ];
  const { end, starts, flatStarts } = pack({
    free,
    flat: flat.map((buffer) => ({
      ...buffer,
      parts: buffer.parts.map(({ storage, ...part }) => ({
        ...part,
        storage: { ...storage, ...spanOf(storage, wide) },
      })),
    })),
    base,
    count: graph.nodes.length,
    stages: stagesOf(graph.nodes),
  });
  own.forEach((storage, one) => {
    offsets.set(storage, starts[one] as number);
  });
  carried.forEach((pair, one) => {
    for (const storage of pair) offsets.set(storage, starts[own.length + one] as number);
  });
  const groups = new Map<string, number>();
  flat.forEach(({ tensor, parts }, one) => {
    const start = flatStarts[one] as number;
    groups.set(tensor, start);
    for (const { storage, offsetBytes } of parts) offsets.set(storage, start + offsetBytes);
  });
  return { bytes: end, offsets, groups };
}

type Wides = ReadonlyMap<Storage, Wide> | undefined;

/** When a storage lives. */
const spanOf = (storage: Storage, wides: Wides): Span => {
  const { start, end } = storage;
  return { start, end, wide: wides?.get(storage) };
};

/** The same of what lives from before the step to a rank, and from another one on. */
function acrossSteps(before: Storage, after: Storage, wides: Wides): Span {
  const [first, second] = [wides?.get(before), wides?.get(after)];
  const away = { from: before.end + 1, until: after.start - 1 };
  const wide = first &&
    second && {
      lane: first.lane === second.lane ? first.lane : Math.min(first.lane, second.lane, -1),
      from: first.from,
      until: second.until,
      away: { from: first.until + 1, until: second.from - 1 },
    };
  return { start: before.start, end: after.end, away, wide };
}

/** What is carried from step to step: the storages of its value from the step before, and of that for the next. */
function carriedPairs(graph: Graph, all: readonly Storage[]): (readonly [Storage, Storage])[] {
  const pairs = new Map<string, Storage[]>();
  for (const storage of all)
    if (isCarried(graph, storage)) addTo(pairs, (storage.within as NonNullable<Storage["within"]>).tensor, storage);
  return [...pairs.values()].map(([before, after]) => [before as Storage, after as Storage] as const);
}

const isCarried = (graph: Graph, { within }: Storage): boolean =>
  within !== undefined && graph.tensors.get(within.tensor)?.category === "activation";

interface Flat extends FlatBuffer {
  readonly parts: { readonly storage: Storage; readonly offsetBytes: number }[];
}

/** The flat buffers whose parts are made by nodes: fixed places, in which others may live before a part is made. */
function flatBuffers(graph: Graph, all: readonly Storage[]): Flat[] {
  const parts = new Map<string, Flat["parts"][number][]>();
  for (const storage of all)
    if (storage.within && !isCarried(graph, storage))
      addTo(parts, storage.within.tensor, { storage, offsetBytes: storage.within.offsetBytes });
  return [...parts].map(([tensor, own]): Flat => {
    const whole = graph.tensors.get(tensor);
    return { tensor, bytes: aligned(whole ? tensorBytes(whole) : 0), parts: own };
  });
}

/** A piece of the arena. */
export interface Piece {
  readonly offset: number;
  readonly bytes: number;
}

/** A storage at its place. */
interface Occupied {
  readonly offset: number;
  readonly until: number;
  readonly start: number;
  readonly end: number;
}

/**
 * For each node the largest piece of the arena in which nothing lives while it runs. Nodes that run at the same time get
 * pieces that do not overlap: each lane what its own storages leave, the first one of a stage what no lane uses.
 */
export function idlePieces(graph: Graph, { arenaBytes, offsets }: Layout): Piece[] {
  const lanes = lanesOf(graph);
  const places = storages(graph).all.map((storage) => {
    const { name, bytes, start, end, resident } = storage;
    const offset = offsets.get(name) as number;
    const wide = lanes?.of.get(storage);
    return { offset, until: offset + aligned(bytes), start: resident ? 0 : Math.max(0, start), end, wide };
  });
  const pieces: Piece[] = [];
  for (const { first, last, lanes: running } of stagesOf(graph.nodes)) {
    if (running.size === 1) {
      for (const piece of idleWithin(places, first, last, arenaBytes)) pieces.push(piece);
      continue;
    }
    const here = places
      .filter(({ start, end, wide }) => (wide?.from ?? start) <= last && (wide?.until ?? end) >= first)
      .sort((a, z) => a.offset - z.offset);
    const always = (occupied: readonly Occupied[]): Occupied[] =>
      occupied.map(({ offset, until }) => ({ offset, until, start: first, end: last }));
    const [leader] = running;
    const unused = gaps(here, arenaBytes).map(({ offset, bytes }) => ({
      offset,
      until: offset + bytes,
      start: first,
      end: last,
    }));
    for (const lane of running) {
      const isOwn = ({ wide }: (typeof here)[number]): boolean => wide?.lane === lane;
      const others = always(here.filter((one) => !isOwn(one)));
      const occupied = [...here.filter(isOwn), ...others, ...(lane === leader ? [] : unused)];
      idleWithin(occupied, first, last, arenaBytes).forEach((piece, i) => {
        if ((graph.nodes[first + i]?.lane ?? 0) === lane) pieces[first + i] = piece;
      });
    }
  }
  return pieces;
}

/** For each rank from one to another the largest piece of the arena in which none of these storages lives. */
function idleWithin(places: readonly Occupied[], first: number, last: number, arenaBytes: number): Piece[] {
  const starting = Array.from({ length: last - first + 1 }, (): Occupied[] => []);
  for (const one of places) if (one.end >= first) starting[Math.max(0, one.start - first)]?.push(one);
  let live: Occupied[] = [];
  return starting.map((fresh, i) => {
    live = live.filter(({ end }) => end >= first + i);
    if (fresh.length) live = [...live, ...fresh].sort((a, z) => a.offset - z.offset);
    let best: Piece = { offset: 0, bytes: 0 };
    for (const { offset, bytes } of gaps(live, arenaBytes)) {
      const from = Math.ceil(offset / idleAlignment) * idleAlignment;
      if (offset + bytes - from > best.bytes) best = { offset: from, bytes: offset + bytes - from };
    }
    return best;
  });
}

/** What lies between these pieces of the arena, from the bottom up. */
function gaps(occupied: readonly Pick<Occupied, "offset" | "until">[], arenaBytes: number): Piece[] {
  const found: Piece[] = [];
  let free = 0;
  for (const { offset, until } of [...occupied, { offset: arenaBytes, until: arenaBytes }]) {
    if (offset > free) found.push({ offset: free, bytes: offset - free });
    free = Math.max(free, until);
  }
  return found;
}

/** Workspaces want coarser boundaries than values. */
const idleAlignment = 512;
