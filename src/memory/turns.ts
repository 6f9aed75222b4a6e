import { greatest, least } from "../graph/lists.js";
import { Assembly, type Block } from "./assembly.js";
import type { Content, Packed } from "./pack-content.js";
import { aligned } from "./packing.js";

/** A turn is large if it takes such a share of the most that lives at once. */
const large = 1 / 16;

/** Between two turns lives such a share of that at most. */
const little = 1 / 64;

/** From which rank to which something of a content lives. */
interface Extent {
  readonly bytes: number;
  readonly start: number;
  readonly end: number;
}

/**
 * An arena for several schedules one after the other, between which next to nothing lives: what does is put at its bottom,
 * above that all of them in the same place, each packed as if it were alone. Undefined where there are no such schedules.
 */
export function inTurns(content: Content, pack: (content: Content) => Packed): Packed | undefined {
  const free = content.free.map(({ bytes, start, end }): Extent => ({ bytes: aligned(bytes), start, end }));
  const parts = content.flat.map((buffer) => buffer.parts.map(({ storage }) => storage));
  const flat = parts.map(
    (all, i): Extent => ({
      bytes: content.flat[i]?.bytes ?? 0,
      start: least(all.map(({ start }) => start)),
      end: greatest(all.map(({ end }) => end)),
    }),
  );
  const cuts = cutsOf([...free, ...parts.flat()], content.count);
  if (!cuts.length) return undefined;
  const crossing: Block = { free: [], flat: [] };
  const turns = Array.from({ length: cuts.length + 1 }, (): Block => ({ free: [], flat: [] }));
  const blockOf = ({ start, end }: Extent): Block => {
    const turn = cuts.filter((cut) => cut <= start).length;
    return end < (cuts[turn] ?? Number.POSITIVE_INFINITY) ? (turns[turn] as Block) : crossing;
  };
  free.forEach((one, i) => void blockOf(one).free.push(i));
  flat.forEach((one, i) => void blockOf(one).flat.push(i));
  // what seemed to be apart may hang together by a buffer; and each block must be less than the whole
  if (turns.filter((turn) => turn.free.length + turn.flat.length > 0).length < 2) return undefined;
  const assembly = new Assembly(content, pack);
  const bottom = aligned(assembly.put(crossing, content.base));
  return assembly.arena(greatest(turns.map((turn) => assembly.put(turn, bottom))));
}

/** The ranks before which a turn ends and the next one begins: where the least lives between two large ones. */
function cutsOf(lives: readonly Extent[], count: number): number[] {
  const live = new Float64Array(count + 2);
  const through = new Float64Array(count + 2);
  const add = (list: Float64Array, from: number, until: number, bytes: number): void => {
    if (from > until) return;
    list[from] = (list[from] as number) + bytes;
    list[until + 1] = (list[until + 1] as number) - bytes;
  };
  for (const { bytes, start, end } of lives) {
    add(live, Math.min(start, count), Math.min(end, count), bytes);
    // before rank r lives what began before it and ends there or later
    add(through, Math.min(start + 1, count), Math.min(end, count), bytes);
  }
  for (const list of [live, through])
    for (let rank = 1; rank < list.length; rank++) list[rank] = (list[rank] as number) + (list[rank - 1] as number);
  const peak = greatest(live);
  const cuts: number[] = [];
  // the best cut since the last large turn, and whether a large one has come since the last cut
  let best = -1;
  let isLarge = false;
  for (let rank = 0; rank < count; rank++) {
    const between = through[rank] as number;
    if (isLarge && between <= little * peak && (best < 0 || between < (through[best] as number))) best = rank;
    if ((live[rank] as number) < large * peak) continue;
    if (best >= 0) cuts.push(best);
    best = -1;
    isLarge = true;
  }
  return cuts;
}
