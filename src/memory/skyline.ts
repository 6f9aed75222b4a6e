import type { Packing } from "./packing.js";

/** Ranks whose lowest free byte is the same. */
interface Segment {
  first: number;
  last: number;
  level: number;
}

/**
 * Fills the lowest valley of the skyline again and again: of the storages that live within its ranks the heaviest is
 * put on its ground; a valley in which none fits is raised to its lower wall. This is the best-fit heuristic of
 * Sekiyama et al., "Profile-guided memory optimization for deep neural networks" (2018). Returns the storages `ones` from
 * the bottom up: an order in which `Packing.place` reaches no higher.
 */
export function skyline(packing: Packing, weight: (one: number) => number, ones: Int32Array): Int32Array {
  const { free, start, end, size } = packing;
  const weights = Float64Array.from({ length: free }, (_, one) => weight(one));
  const starting: number[][] = Array.from({ length: packing.count + 2 }, () => []);
  for (const one of ones) (starting[start[one] as number] as number[]).push(one);
  // the heaviest of a rank first
  for (const list of starting) list.sort((a, z) => (weights[z] as number) - (weights[a] as number) || a - z);
  const segments = ground(packing);
  const offsets = new Float64Array(free);
  for (let left = ones.length; left > 0; ) {
    const index = lowest(segments);
    const valley = segments[index] as Segment;
    let best = -1;
    for (let rank = valley.first; rank <= valley.last; rank++)
      for (const one of starting[rank] as number[]) {
        packing.work++;
        if (best >= 0 && (weights[one] as number) <= (weights[best] as number)) break;
        if ((end[one] as number) > valley.last) continue;
        best = one;
        break;
      }
    if (best < 0) {
      raise(segments, index);
      continue;
    }
    const list = starting[start[best] as number] as number[];
    list.splice(list.indexOf(best), 1);
    left--;
    offsets[best] = valley.level;
    cover(segments, index, start[best] as number, end[best] as number, valley.level + (size[best] as number));
  }
  return ones.slice().sort((a, z) => (offsets[a] as number) - (offsets[z] as number) || a - z);
}

/** The skyline of what has its place. */
function ground({ free, start, end, top, base, count }: Packing): Segment[] {
  const levels = new Float64Array(count + 2).fill(base);
  for (let one = free; one < top.length; one++)
    for (let rank = start[one] as number; rank <= (end[one] as number); rank++)
      levels[rank] = Math.max(levels[rank] as number, top[one] as number);
  const segments: Segment[] = [];
  levels.forEach((level, rank) => {
    const last = segments.at(-1);
    if (last?.level === level) last.last = rank;
    else segments.push({ first: rank, last: rank, level });
  });
  return segments;
}

function lowest(segments: readonly Segment[]): number {
  let index = 0;
  for (let i = 1; i < segments.length; i++)
    if ((segments[i] as Segment).level < (segments[index] as Segment).level) index = i;
  return index;
}

/** Raises a valley to its lower wall, and joins the two. */
function raise(segments: Segment[], index: number): void {
  const valley = segments[index] as Segment;
  valley.level = Math.min(
    segments[index - 1]?.level ?? Number.POSITIVE_INFINITY,
    segments[index + 1]?.level ?? Number.POSITIVE_INFINITY,
  );
  join(segments, index);
}

/** Puts something of this height over some ranks of a segment. */
function cover(segments: Segment[], index: number, first: number, last: number, level: number): void {
  const valley = segments[index] as Segment;
  const pieces = [
    { ...valley, last: first - 1 },
    { first, last, level },
    { ...valley, first: last + 1 },
  ].filter((piece) => piece.first <= piece.last);
  segments.splice(index, 1, ...pieces);
  join(segments, index + pieces.findIndex((piece) => piece.first === first));
}

/** Joins a segment with neighbours of its level. */
function join(segments: Segment[], index: number): void {
  const [before, here, after] = [segments[index - 1], segments[index] as Segment, segments[index + 1]];
  if (after?.level === here.level) {
    here.last = after.last;
    segments.splice(index + 1, 1);
  }
  if (before?.level === here.level) {
    before.last = here.last;
    segments.splice(index, 1);
  }
}
