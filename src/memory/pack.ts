import { greatest, least } from "../graph/lists.js";
import { inBlocks } from "./lane-blocks.js";
import type { Content, Life, Packed } from "./pack-content.js";
import { aligned, type Fixed, Packing } from "./packing.js";
import { skyline } from "./skyline.js";
import { worstPeak } from "./worst-peak.js";

/** A packing is good enough if it takes so many times the lower bound. */
const good = 1.01;

/**
 * The smallest arena that is found. Where nodes of several lanes run side by side, either each lane has a block of its own,
 * packed as if it were alone, or lanes take what others have left in earlier stages.
 */
export function pack(content: Content): Packed {
  const hasLanes = content.free.some(({ wide }) => wide) || content.flat.some(({ parts }) => parts[0]?.storage.wide);
  if (!hasLanes) return packed(content);
  const blocks = inBlocks(content, packed);
  if (blocks.end <= good * lowerBound(content)) return blocks;
  const joint = packed(content);
  return joint.end < blocks.end ? joint : blocks;
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
function pressures({ free, size, start, end, count }: Packing): Float64Array {
  const live = liveBytes(
    Array.from(size, (bytes, one) => ({ bytes, start: start[one] as number, end: end[one] as number })),
    count,
  );
  const most = greatestWithin(live);
  return Float64Array.from({ length: free }, (_, one) => most(start[one] as number, end[one] as number));
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
  const lines = free.map(({ bytes, start, end, wide }) => ({ bytes: aligned(bytes), start, end, wide }));
  const parts = flat.flatMap((buffer) => buffer.parts.map(({ storage }) => storage));
  return base + aligned(worstPeak([...lines, ...parts], all, count));
}
