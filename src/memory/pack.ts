import { greatest, least } from "../graph/lists.js";
import { Assembly, type Block } from "./assembly.js";
import { inBlocks } from "./lane-blocks.js";
import type { Content, Life, Packed } from "./pack-content.js";
import { aligned, type Fixed, Packing } from "./packing.js";
import { skyline } from "./skyline.js";
import { inTurns } from "./turns.js";
import { worstPeak } from "./worst-peak.js";

/** A packing is good enough if it takes so many times the lower bound. */
const good = 1.01;

/**
 * The smallest arena that is found. Where nodes of several lanes run side by side, either each lane has a block of its own,
 * packed as if it were alone, or lanes take what others have left in earlier stages. Of schedules one after the other each
 * is packed as if it were alone.
 */
export function pack(content: Content): Packed {
  const hasLanes = content.free.some(({ wide }) => wide) || content.flat.some(({ parts }) => parts[0]?.storage.wide);
  if (!hasLanes) return inTurn(content);
  const blocks = inBlocks(content, inTurn);
  if (blocks.end <= good * lowerBound(content)) return blocks;
  const joint = packed(content);
  return joint.end < blocks.end ? joint : blocks;
}

function inTurn(content: Content): Packed {
  const bound = lowerBound(content);
  let best: Packed | undefined;
  for (const pack of [inTurns, statesFirst, packed]) {
    const one = pack(content, inTurn);
    if (one && (!best || one.end < best.end)) best = one;
    // a try at very many takes as long as all tries at parts of them
    if (best && (best.end <= bound || (content.free.length > many && best.end <= good * bound))) break;
  }
  return best as Packed;
}

/** An arena with the states that are on the device for a while at its bottom, packed on their own; undefined without any. */
function statesFirst(content: Content, pack: (content: Content) => Packed): Packed | undefined {
  const states: Block = { free: [], flat: [] };
  const rest: Block = { free: [], flat: content.flat.map((_, one) => one) };
  content.free.forEach(({ aside }, one) => void (aside ? states : rest).free.push(one));
  if (!states.free.length || rest.free.length + rest.flat.length === 0) return undefined;
  const assembly = new Assembly(content, pack);
  return assembly.arena(assembly.put(rest, aligned(assembly.put(states, content.base))));
}

/**
 * The smallest arena of many tries: from several orders, each storage in turn at the lowest place, then again with those
 * placed first that reached the top. Stops at the lower bound, or when the work of `workFor` is done.
 *
 * Gradients are made from the last parameter to the first, so that the parts of a flat buffer are taken from its end:
 * where the buffer ends the arena, what is still free in it lies beside all that is free below. Such an arena is packed
 * upside down.
 */
function packed(content: Content): Packed {
  const { free, flat, base, count } = content;
  const { places, size } = placesOf(content);
  const placeOf = (one: number): number => places[one] as number;
  const goal = Math.max(base + size, lowerBound(content));
  let best: Packed | undefined;
  let work = 0;
  const mostWork = workFor(free.length);
  for (const fromBase of flat.length ? [false, true] : [true]) {
    const packing = new Packing({ free, fixed: fixedParts(content, places, fromBase), base, count });
    const before = work;
    for (const order of orders(packing, fromBase)) {
      if (best && work > mostWork) break;
      let least = Number.POSITIVE_INFINITY;
      let since = 0;
      for (let next = order(); since < patience; since++) {
        const reached = packing.place(next);
        const end = Math.max(reached, base + size);
        if (reached < least) [least, since] = [reached, 0];
        if (!best || end < best.end) {
          const flatStarts = flat.map(({ bytes }, one) =>
            fromBase ? base + placeOf(one) : end - placeOf(one) - bytes,
          );
          best = { end, starts: startsOf(packing, fromBase, end), flatStarts };
        }
        work = before + packing.work;
        if (best.end <= goal || work > mostWork) break;
        next = topFirst(packing, next, reached);
      }
      if (best && best.end <= goal) return best;
    }
  }
  return best as Packed;
}

/** Comparisons that a layout may take, some 50 ms, and more where a single try takes long. */
const workFor = (storages: number): number => 3e7 + 3000 * storages;

/** Tries without a lower arena before another order is tried. */
const patience = 20;

/** Storages that take long to be packed as a whole. */
const many = 3000;

/** More storages than this are not filled into a skyline: its time grows with the square of their number. */
const mostForSkyline = 5000;

/** Where flat buffers lie, one beside the other but for those that are over before another begins; and all that they take. */
function placesOf({ flat, count }: Content): { readonly places: Float64Array; readonly size: number } {
  const lives = flat.map(({ bytes, parts }): Life => {
    const all = parts.map(({ storage }) => storage);
    const [start, end] = [least(all.map((life) => life.start)), greatest(all.map((life) => life.end))];
    const [first] = all;
    if (!first?.wide) return { bytes, start, end };
    const { lane } = first.wide;
    const from = least(all.map(({ start: own, wide }) => wide?.from ?? own));
    return {
      bytes,
      start,
      end,
      wide: { lane, from, until: greatest(all.map((life) => life.wide?.until ?? life.end)) },
    };
  });
  const packing = new Packing({ free: lives, fixed: [], base: 0, count });
  const size = packing.place(Int32Array.from(flat, (_, one) => one));
  return { places: packing.offset, size };
}

/** The parts of flat buffers at their places; upside down if the buffers end the arena. */
const fixedParts = ({ flat, base }: Content, places: Float64Array, fromBase: boolean): Fixed[] =>
  flat.flatMap(({ bytes, parts }, one) =>
    parts.map(({ storage, offsetBytes }): Fixed => {
      const offset = base + (places[one] as number) + (fromBase ? offsetBytes : bytes - offsetBytes - storage.bytes);
      return { storage, offset, end: offset + storage.bytes };
    }),
  );

/** Offsets of the free storages in an arena that ends there. */
const startsOf = ({ free, offset, top, base }: Packing, fromBase: boolean, end: number): Float64Array =>
  fromBase ? offset.slice(0, free) : top.subarray(0, free).map((one) => base + end - one);

/** The same order, but first those that reached the top. */
function topFirst({ top }: Packing, order: Int32Array, reached: number): Int32Array {
  const isTop = (one: number): boolean => top[one] === reached;
  return Int32Array.from([...order.filter(isTop), ...order.filter((one) => !isTop(one))]);
}

/** The orders from which to begin, the best ones first; where there are lanes, each lane's storages as a block first. */
function orders(packing: Packing, fromBase: boolean): (() => Int32Array)[] {
  const { free, size, start, end, lane } = packing;
  const life = (one: number): number => (end[one] as number) - (start[one] as number) + 1;
  const bytes = (one: number): number => size[one] as number;
  const area = (one: number): number => life(one) * bytes(one);
  const pressure = pressures(packing);
  const crowd = (one: number): number => pressure[one] as number;
  type Weight = (one: number) => number;
  const sorted =
    (ones: Int32Array, ...keys: Weight[]): (() => Int32Array) =>
    () =>
      ones.slice().sort((a, z) => {
        for (const key of keys) if (key(a) !== key(z)) return key(z) - key(a);
        return a - z;
      });
  const of = (ones: Int32Array): (() => Int32Array)[] => {
    const crowded = sorted(ones, crowd, bytes);
    if (fromBase && size.length > free) return [crowded, sorted(ones, bytes), sorted(ones, crowd, life)];
    const sky = (weight: Weight): (() => Int32Array)[] =>
      ones.length <= mostForSkyline ? [() => skyline(packing, weight, ones)] : [];
    const plain = [sorted(ones, crowd, life), sorted(ones, bytes), sorted(ones, area)];
    return [crowded, ...sky(area), ...sky(life), ...plain];
  };
  const whole = of(Int32Array.from({ length: free }, (_, one) => one));
  if (!lane) return whole;
  const blocks = blocksOf(lane.subarray(0, free)).map(of);
  const inTurn = (blocks[0] ?? []).map((_, index) => (): Int32Array => {
    const block = blocks.map((orders) => (orders[index] ?? orders[0])?.() ?? new Int32Array(0));
    return Int32Array.from(block.flatMap((ones) => [...ones]));
  });
  return [...inTurn, ...whole];
}

/** The storages of each lane; what several lanes use is one block more, the first. */
function blocksOf(lanes: Int32Array): Int32Array[] {
  const blocks = new Map<number, number[]>([[-1, []]]);
  lanes.forEach((lane, one) => {
    const key = Math.max(-1, lane);
    const block = blocks.get(key);
    if (block) block.push(one);
    else blocks.set(key, [one]);
  });
  return [...blocks.values()].filter((ones) => ones.length > 0).map((ones) => Int32Array.from(ones));
}

/** For each free storage the most bytes that are live at some rank of its life. */
function pressures({ free, size, start, end, count, away }: Packing): Float64Array {
  const live = liveBytes(
    Array.from(size, (bytes, one) => {
      const life = { bytes, start: start[one] as number, end: end[one] as number };
      return away
        ? present({ ...life, away: { from: away.from[one] as number, until: away.until[one] as number } })
        : [life];
    }).flat(),
    count,
  );
  const most = greatestWithin(live);
  return Float64Array.from({ length: free }, (_, one) => most(start[one] as number, end[one] as number));
}

/** A life in the two parts before and after what is away, or in one. */
function present<L extends Life>({ away, wide, ...life }: L): Life[] {
  if (!away || away.from > away.until) return [{ ...life, wide }];
  const aside = wide?.away ?? away;
  return [
    { ...life, end: away.from - 1, wide: wide && { ...wide, until: aside.from - 1 } },
    { ...life, start: away.until + 1, wide: wide && { ...wide, from: aside.until + 1 } },
  ];
}

/** Answers for the greatest of the values from one place to another: of two overlapping stretches of a power of two. */
function greatestWithin(values: Float64Array): (first: number, last: number) => number {
  const levels = [values];
  for (let width = 1; 2 * width <= values.length; width *= 2) {
    const below = levels.at(-1) as Float64Array;
    const level = new Float64Array(values.length - 2 * width + 1);
    for (let i = 0; i < level.length; i++) level[i] = Math.max(below[i] as number, below[i + width] as number);
    levels.push(level);
  }
  return (first, last) => {
    if (last < first) return 0;
    const depth = 31 - Math.clz32(last - first + 1);
    const level = levels[depth] as Float64Array;
    return Math.max(level[first] as number, level[last + 1 - 2 ** depth] as number);
  };
}

/** Bytes that are live at each rank. */
function liveBytes(all: Iterable<Life>, count: number): Float64Array {
  const live = new Float64Array(count + 3);
  for (const { bytes, start, end } of all) {
    live[start] = (live[start] as number) + bytes;
    live[end + 1] = (live[end + 1] as number) - bytes;
  }
  for (let rank = 1; rank < live.length; rank++) live[rank] = (live[rank] as number) + (live[rank - 1] as number);
  return live;
}

/** No arena can be smaller: residents, and the most bytes that may live at once, aligned but for the parts of flat buffers. */
function lowerBound({ free, flat, base, count, stages }: Content): number {
  const all = stages ?? [{ first: 0, last: count - 1, lanes: new Set([0]) }];
  const lines = free.flatMap(present).map((life) => ({ ...life, bytes: aligned(life.bytes) }));
  const parts = flat.flatMap((buffer) => buffer.parts.map(({ storage }) => storage));
  return base + aligned(worstPeak([...lines, ...parts], all, count));
}
